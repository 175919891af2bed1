// Holds a result for as long as the store takes nothing of what follows from it: an outage does not use up its deliveries.
import type { Bus, Delivery } from '../bus/bus.ts';
import type { ExecResult } from '../contracts/result.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

/** Between two times of patience; one and this are together less than the consumer's ack wait. */
const AGAIN_MS = 1_000;

export interface HoldingDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Ends the patience. */
  readonly signal: AbortSignal;
}

/** Works again and again while it fails for the store alone; then the delivery is acknowledged. Throws what it throws else. */
export async function held(
  delivery: Delivery<ExecResult>,
  work: (delivery: Delivery<ExecResult>) => Promise<void>,
  { bus, timers, telemetry, signal }: HoldingDeps,
): Promise<void> {
  const { tenant_id, assignment_id = '-' } = delivery.message;
  for (let tries = 0; ; tries++) {
    try {
      // eslint-disable-next-line no-await-in-loop -- one try after the other
      await work(delivery);
      return delivery.ack();
    } catch (fault) {
      // A connection that was lost has lost the delivery too.
      if (!isTemporary(fault) || signal.aborted || bus.state !== 'connected') throw fault;
      if (tries === 0) telemetry.log.warn('result_held', { tenant_id, assignment_id, fault });
    }
    delivery.working();
    // eslint-disable-next-line no-await-in-loop -- as above
    await timers.sleep(AGAIN_MS, signal).catch(() => undefined);
  }
}

const isTemporary = (fault: unknown): boolean => ['unavailable', 'timeout'].includes(BeamlineError.from(fault).code);
