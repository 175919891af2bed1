// The headers of a message as they travel, for both buses: those of its set, those of its ids, and the few that a
// sender adds.
import { carriesMessageId, HEADER_SETS, type HeaderSet, headersOf } from '../contracts/headers.ts';
import { BeamlineError } from '../core/errors.ts';
import type { AppendOptions } from './bus.ts';

export const HEADER_VALUE = /^[\x21-\x7e]+$/;
/** What a sender may add: nothing of the server's, and nothing that is written anyway. */
const MORE =
  /^(?!nats-|(?:x[_-])?(?:trace|tenant|msg)[_-]id$|x[_-]contract[_-]version$|authorization$)[a-z][a-z0-9_-]{0,63}$/;

/** What came with a message; the options of `append` are one. */
export type Origin = Partial<Pick<AppendOptions, 'messageId' | 'correlation' | 'headers'>>;

export const invalidHeader = (name: string): BeamlineError =>
  new BeamlineError('internal', `the header ${name} would leave invalid`);

/** Throws `internal` for a name that a sender may not add, or a value that is not printable ASCII without spaces. */
export function assertMore(headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers))
    if (!MORE.test(name) || !HEADER_VALUE.test(value)) throw invalidHeader(name);
}

/** Throws `internal` for a message without correlation that its receivers would not let in. */
export function assertUncorrelated(
  {
    class: kind,
    headers,
    template,
  }: { readonly class: string; readonly headers: HeaderSet; readonly template: string },
  message: unknown,
): void {
  if (HEADER_SETS[headers].required.length === 0) return;
  // Every message is an object: it was checked before.
  if (kind === 'frames' && (message as { readonly seq?: unknown }).seq !== 0) return;
  throw new BeamlineError('internal', `${template} would leave without its correlation`);
}

/** What a reader of the stream finds; without a set what is given is all; the credential is never stored. */
export function headersSent(
  set: HeaderSet | undefined,
  { correlation, messageId, headers }: Origin,
): Record<string, string> {
  if (set === undefined) return { ...headers };
  return {
    ...(correlation === undefined
      ? {}
      : Object.fromEntries(headersOf(set, { ...correlation, authorization: undefined }))),
    ...(messageId === undefined ? {} : messageHeaders(set, messageId)),
    ...headers,
  };
}

/** JetStream deduplicates by its own name; sets that require the id carry it under theirs as well. */
const messageHeaders = (set: HeaderSet, messageId: string): Record<string, string> => ({
  ...(carriesMessageId(set) ? { x_msg_id: messageId } : {}),
  'Nats-Msg-Id': messageId,
});
