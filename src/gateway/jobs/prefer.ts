// What a caller prefers about waiting (gateway 15.1, RFC 7240); what is not understood is ignored, as preferences are.
import type { Call } from '../call.ts';

export interface Preference {
  readonly isAsync: boolean;
  /** Whole seconds that the caller waits for the end, at most 60; undefined where nothing was asked. */
  readonly waitS: number | undefined;
}

const WAIT_S_MAX = 60;
const WAIT = /^wait\s*=\s*"?(\d{1,9})"?$/;

const NONE: Preference = { isAsync: false, waitS: undefined };

export function preferenceOf(call: Call): Preference {
  const prefer = call.header('prefer');
  let isAsync = call.header('x-bf-async') === 'true';
  if (prefer === undefined && !isAsync) return NONE;
  let waitS: number | undefined;
  for (const part of (prefer ?? '').toLowerCase().split(',')) {
    const word = part.split(';', 1)[0]?.trim() ?? '';
    if (word === 'respond-async') isAsync = true;
    const seconds = WAIT.exec(word)?.[1];
    // The first of equal preferences counts.
    if (seconds !== undefined) waitS ??= Math.min(WAIT_S_MAX, Number(seconds));
  }
  return { isAsync, waitS };
}
