// The one place where a subject is made: a template of a contract, filled with encoded tokens.
// No other caller text enters a subject; wildcards come only from `everyOf`, for subscriptions.
import { BeamlineError } from '../core/errors.ts';
import { ID_BYTES_MAX } from './limits.ts';

declare const brand: unique symbol;
/** A legal subject; only this file makes one. */
export type Subject = string & { readonly [brand]: 'Subject' };

/** The names between angle brackets in a template, for example `'pool'` of `caf.exec.call.v2.<pool>`. */
export type ParamsOf<Template extends string> = Template extends `${string}<${infer Name}>${infer Rest}`
  ? Name | ParamsOf<Rest>
  : never;

const SAFE = /^[A-Za-z0-9_-]+$/;
const PARAM = /<([a-z_]+)>/g;

/**
 * An id as one subject or key token: each byte outside `[A-Za-z0-9_-]` becomes `=XX` in upper-case hex.
 * Throws `invalid_request` for an id that is empty, over `ID_BYTES_MAX` bytes, or not printable ASCII without spaces.
 */
export function encodeToken(id: string): string {
  if (id.length > 0 && id.length <= ID_BYTES_MAX && SAFE.test(id)) return id;
  if (id.length === 0 || id.length > ID_BYTES_MAX || !/^[\x21-\x7e]+$/.test(id)) {
    throw new BeamlineError('invalid_request', 'an id must be 1 to 128 bytes of printable ASCII without spaces', {
      details: { reason: 'illegal_token' },
    });
  }
  return id.replace(/[^A-Za-z0-9_-]/g, (char) => `=${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** The id of a token that `encodeToken` made; other texts come back as they are. */
export const decodeToken = (token: string): string =>
  token.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

export const fillSubject = <Template extends string>(
  template: Template,
  params: Readonly<Record<ParamsOf<Template>, string>>,
): Subject => template.replace(PARAM, (_, name: string) => encodeToken(params[name as ParamsOf<Template>])) as Subject;

/** The template with `*` for each parameter that is not given: what a subscriber listens on. */
export const wildSubject = <Template extends string>(
  template: Template,
  params: Readonly<Partial<Record<ParamsOf<Template>, string>>>,
): Subject =>
  template.replace(PARAM, (_, name: string) => {
    const id = params[name as ParamsOf<Template>];
    return id === undefined ? '*' : encodeToken(id);
  }) as Subject;

/** A compiled test whether a subject that came in a message belongs to a template, without wildcards or empty tokens. */
export function subjectMatcher(template: string): (subject: string) => subject is Subject {
  const pattern = template.replaceAll('.', '\\.').replace(PARAM, '[A-Za-z0-9_=-]{1,384}');
  const whole = new RegExp(`^${pattern}$`);
  return (subject): subject is Subject => whole.test(subject);
}
