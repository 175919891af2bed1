// What a message is, written once: a subject, a header set, and schemas whose types, validators and JSON Schema are one.
// The bus takes contracts only, so a message that is not declared does not compile.
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { BeamlineError } from '../core/errors.ts';
import type { HeaderSet } from './headers.ts';
import { encodeToken, fillSubject, type ParamsOf, type Subject, subjectMatcher, wildSubject } from './subject.ts';

export interface Payload<T> {
  /** For example `beamline.router.DecideRequest`. */
  readonly id: string;
  readonly version: string;
  readonly schema: TSchema;
  /** Compiled; unknown fields pass, as receivers must ignore them. */
  check(value: unknown): value is T;
  /** The first fault, as `path: message`, for a value that `check` refused. */
  fault(value: unknown): string;
  /** JSON of others in it, which may be nested deeper than a reader takes; absent where there is none. */
  foreign?(message: T): unknown;
}

export function payload<S extends TSchema>(
  id: string,
  version: string,
  schema: S,
  foreign?: (message: Static<S>) => unknown,
): Payload<Static<S>> {
  const compiled = Compile(schema);
  return {
    id,
    version,
    schema,
    ...(foreign && { foreign }),
    check: (value): value is Static<S> => compiled.Check(value),
    fault(value) {
      const [first] = compiled.Errors(value);
      return first === undefined
        ? 'valid'
        : `${first.instancePath === '' ? '/' : first.instancePath}: ${first.message}`;
    },
  };
}

/** Where a message goes: a contract and one legal subject of its template. */
export interface Address<C> {
  readonly contract: C;
  readonly subject: Subject;
}

interface Addressed<Template extends string> {
  readonly template: Template;
  readonly headers: HeaderSet;
}

/** Whether a subject that came in a message is one of the contract's. */
interface Matching {
  matches(subject: string): subject is Subject;
}

/** A message without an answer: core event, frames, or an event of a stream. */
export interface EventContract<Template extends string, M> extends Addressed<Template> {
  readonly class: 'core_event' | 'frames' | 'jetstream_event' | 'dlq';
  readonly message: Payload<M>;
}

export interface RequestContract<Template extends string, Q, R> extends Addressed<Template> {
  readonly class: 'request_reply';
  readonly request: Payload<Q>;
  readonly reply: Payload<R>;
  /** The answer to a request that could not be read or served: a bad request is always answered. */
  refuse(error: BeamlineError, request: unknown): R;
}

export const eventContract = <const Template extends string, M>(
  contract: EventContract<Template, M>,
): EventContract<Template, M> & Matching => ({ ...contract, matches: subjectMatcher(contract.template) });

export const requestContract = <const Template extends string, Q, R>(
  contract: RequestContract<Template, Q, R>,
): RequestContract<Template, Q, R> => contract;

/** The address of a contract; `params` are the template's, encoded here. */
export function at<const Template extends string, C extends Addressed<Template>>(
  contract: C & Addressed<Template>,
  ...[params]: [ParamsOf<Template>] extends [never] ? [] : [Readonly<Record<ParamsOf<Template>, string>>]
): Address<C> {
  return {
    contract,
    subject: fillSubject(contract.template, params ?? ({} as Readonly<Record<ParamsOf<Template>, string>>)),
  };
}

/** A subscription to every subject of a template, or to those where some parameters are given. */
export function everyOf<const Template extends string, C extends Addressed<Template>>(
  contract: C & Addressed<Template>,
  params?: Readonly<Partial<Record<ParamsOf<Template>, string>>>,
): Address<C> {
  return { contract, subject: wildSubject(contract.template, params ?? ({} as Readonly<Record<string, string>>)) };
}

/** `at` with all parameters but the last one given before: for a subject that differs with each request. */
export function atEach<const Template extends string, C extends Addressed<Template>>(
  contract: C & Addressed<Template>,
  params: Readonly<Partial<Record<ParamsOf<Template>, string>>>,
): (last: string) => Address<C> {
  const pattern = wildSubject(contract.template, params);
  const prefix = pattern.slice(0, pattern.indexOf('*'));
  if (pattern !== `${prefix}*`) throw new BeamlineError('internal', `${pattern} must lack its last token only`);
  return (last) => ({ contract, subject: `${prefix}${encodeToken(last)}` as Subject });
}

/** The address that a message names, for example `deliver_to`; throws `invalid_request` if the subject is not of the contract. */
export function addressIn<C extends Matching>(contract: C, subject: string): Address<C> {
  if (contract.matches(subject)) return { contract, subject };
  throw new BeamlineError('invalid_request', 'the subject is not one of its contract', {
    details: { reason: 'foreign_subject' },
  });
}
