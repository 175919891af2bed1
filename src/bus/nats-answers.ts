// Serving a request contract on NATS: every request that has a place for a reply gets one, readable or not.
import type { Msg } from '@nats-io/transport-node';
import { decode, encode } from '../contracts/codec.ts';
import type { RequestContract } from '../contracts/contract.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { Received } from './bus.ts';
import { type ContractCounters, ruleOf } from './bus-counters.ts';
import { headerFault } from './header-law.ts';
import { NatsReceived } from './nats-headers.ts';
import { lawOf } from './nats-law.ts';

/** A reply must not be led onto our own subjects or the server's. */
const REPLY_SUBJECT = /^(?!\$|caf\.|beamline\.)[^*>\0]+$/;
const EMPTY = new Uint8Array(0);

export interface AnswerDeps<R> {
  readonly counters: ContractCounters;
  readonly log: Log;
  readonly send: (subject: string, bytes: Uint8Array, reply: R) => void;
}

/** What is done with each request; never throws. */
export function answering<T extends string, Q, R>(
  contract: RequestContract<T, Q, R>,
  handling: (request: Q, received: Received) => R | Promise<R>,
  { counters, log, send }: AnswerDeps<R>,
): (msg: Msg) => void {
  const respond = (to: string, reply: R, request: unknown): void => {
    try {
      send(to, replyBytes(contract, reply, request, { counters, log }), reply);
    } catch {
      counters.dropped('reply_lost');
    }
  };
  const refuse = (to: string, fault: BeamlineError, body: unknown): void => {
    counters.violated(ruleOf(fault));
    respond(to, contract.refuse(fault, body), body);
  };
  const law = lawOf(contract.headers);
  return (msg) => {
    const to = msg.reply ?? '';
    if (!REPLY_SUBJECT.test(to)) return counters.dropped('no_reply_subject');
    let request: Q;
    try {
      request = decode(contract.request, msg.data);
    } catch (thrown) {
      const body = bodyOf(thrown, msg);
      return refuse(to, faultOf(thrown, body, contract.request.version), body);
    }
    const broken = law(msg, request);
    if (broken !== undefined) return refuse(to, headerFault(broken), request);
    const reply = handling(request, new NatsReceived(msg));
    if (reply instanceof Promise) void reply.then((value) => respond(to, value, request));
    else respond(to, reply, request);
  };
}

/** A reply off its contract does not leave: an empty one goes, which the requester reads as `invalid_reply`. */
function replyBytes<T extends string, Q, R>(
  contract: RequestContract<T, Q, R>,
  reply: R,
  request: unknown,
  { counters, log }: Pick<AnswerDeps<R>, 'counters' | 'log'>,
): Uint8Array {
  try {
    return encode(contract.reply, reply);
  } catch (thrown) {
    const fault = BeamlineError.from(thrown);
    if (fault.code === 'payload_too_large') return encode(contract.reply, contract.refuse(fault, request));
    counters.violated('schema');
    log.error('bus_reply_invalid', { route: contract.template, fault });
    return EMPTY;
  }
}

/** The body of a request that was JSON but off its schema, so that the refusal can name the request. */
function bodyOf(thrown: unknown, msg: Msg): unknown {
  if (!(thrown instanceof BeamlineError) || thrown.details['reason'] !== 'schema') return undefined;
  return JSON.parse(Buffer.from(msg.data).toString('utf8'));
}

function faultOf(thrown: unknown, body: unknown, version: string): BeamlineError {
  const fault = BeamlineError.from(thrown);
  if (typeof body !== 'object' || body === null) return fault;
  const { version: theirs, task } = body as Readonly<Record<string, unknown>>;
  if (theirs === undefined || theirs === version) return isEmptyTask(task) ? tooSmall(fault) : fault;
  return new BeamlineError('invalid_request', `this is version ${version}`, {
    details: { ...fault.details, intake: 'VERSION_UNSUPPORTED' },
  });
}

/** A task that says nothing has an intake code of its own (contracts 4.1, 5.2). */
function isEmptyTask(task: unknown): boolean {
  if (typeof task !== 'object' || task === null) return false;
  const { payload } = task as { readonly payload?: unknown };
  return typeof payload === 'object' && payload !== null && Object.keys(payload).length === 0;
}

const tooSmall = (fault: BeamlineError): BeamlineError =>
  new BeamlineError('invalid_request', 'the payload of the task is empty', {
    details: { ...fault.details, intake: 'PAYLOAD_TOO_SMALL' },
  });
