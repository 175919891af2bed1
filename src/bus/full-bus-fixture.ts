// A bus that stays connected and has no room for some events, as one whose outbound bytes are not confirmed.
import { BeamlineError } from '../core/errors.ts';
import type { Bus } from './bus.ts';

/** From now on `bus` refuses the events that `isRefused` names; the count of those that it refused. */
export function fill(
  bus: Bus,
  isRefused: (message: object) => boolean,
  code: 'unavailable' | 'payload_too_large' = 'unavailable',
): { readonly refused: number } {
  const publish = bus.publish.bind(bus);
  const seen = { refused: 0 };
  const refusing: Bus['publish'] = (to, message, correlation, urgency) => {
    if (typeof message !== 'object' || message === null || !isRefused(message)) {
      return publish(to, message, correlation, urgency);
    }
    seen.refused++;
    throw new BeamlineError(code, 'the bus does not take this');
  };
  bus.publish = refusing;
  return seen;
}
