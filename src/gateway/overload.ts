// The refusal of a gateway that has its hands full (gateway 8).
import { BeamlineError } from '../core/errors.ts';

const WAIT_MIN_MS = 5_000;
const WAIT_SPREAD_MS = 25_000;
const STEPS = 997;

/** Waits of 5 to 30 seconds, spread by the random tail of the request id, so that the refused do not return together. */
export function overloaded(requestId: string): BeamlineError {
  const step = Number.parseInt(requestId.slice(-4), 36) % STEPS;
  return new BeamlineError('service_overloaded', 'The service is shedding load.', {
    retryAfterMs: WAIT_MIN_MS + Math.floor((WAIT_SPREAD_MS * step) / STEPS),
  });
}
