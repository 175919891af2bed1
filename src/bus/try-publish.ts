// An event whose loss its sender can bear. A bus that is connected may still refuse one, as it does when its outbound room
// is full, and it refuses by throwing: in a timer or after a promise that would end the process.
import type { Address, EventContract } from '../contracts/contract.ts';
import type { Correlation } from '../contracts/headers.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Bus, Urgency } from './bus.ts';

/** Publishes; why it could not leave, or undefined. */
export function tryPublish<T extends string, M>(
  bus: Pick<Bus, 'publish'>,
  to: Address<EventContract<T, M>>,
  message: M,
  correlation?: Correlation,
  urgency?: Urgency,
): BeamlineError | undefined {
  try {
    bus.publish(to, message, correlation, urgency);
    return undefined;
  } catch (fault) {
    return BeamlineError.from(fault);
  }
}
