// Asks all routers how loaded they are. The first reply is that of the calmest, so one that is active says that all are
// (contracts 4.12; docs/decisions/0014).
import type { Bus } from '../bus/bus.ts';
import { backpressureV2, type RouterLoad } from '../contracts/backpressure.ts';
import { at } from '../contracts/contract.ts';
import type { Clock } from '../core/clock.ts';
import { newRequestId } from '../core/ids.ts';
import type { Level } from './sampled-level.ts';

/** Routers that are active answer within it, too. */
const WAIT_MS = 250;
const LEVELS: Readonly<Record<RouterLoad['status'], Level | undefined>> = {
  inactive: 0,
  warning: 1,
  active: 2,
  unknown: undefined,
};

/** Undefined where nobody answers in time; never rejects. */
export type AskRouterLoad = () => Promise<Level | undefined>;

export const askRouterLoadOver =
  (bus: Bus, clock: Clock): AskRouterLoad =>
  async () => {
    try {
      const { data } = await bus.request(
        at(backpressureV2),
        { version: '2', request_id: newRequestId(clock) },
        { timeoutMs: WAIT_MS, correlation: { traceId: '-', tenantId: '-' } },
      );
      return data === undefined ? undefined : LEVELS[data.status];
    } catch {
      return undefined;
    }
  };
