// Both versions of decide on the bus, with what was answered before them, and how long the answers took.
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { decideV1, decideV2 } from '../contracts/decide.ts';
import type { Clock } from '../core/clock.ts';
import type { Decider } from './decider.ts';
import { RememberedDecides } from './remembered-decides.ts';

/** Answers whose time is remembered: the newest of those since the last look. */
const KEPT = 1_024;
const PERCENTILE = 0.95;

export interface ServedDecides extends AsyncDisposable {
  /** Questions that are not answered yet. */
  readonly pending: number;
  /** Of the answers since the last call; 0 where there were none. */
  takeP95Ms(): number;
}

export function serveDecide(bus: Bus, decider: Pick<Decider, 'v1' | 'v2'>, clock: Clock): ServedDecides {
  const remembered = new RememberedDecides(clock);
  const v1 = decider.v1.bind(decider);
  const v2 = decider.v2.bind(decider);
  const times = new Float64Array(KEPT);
  let answers = 0;
  const timed = <R>(startedMs: number, reply: R | Promise<R>): R | Promise<R> => {
    if (reply instanceof Promise) return reply.finally(() => took(startedMs));
    took(startedMs);
    return reply;
  };
  const took = (startedMs: number): void => {
    times[answers++ % KEPT] = clock.nowMs() - startedMs;
  };
  const queue = { queue: 'router' };
  const first = bus.serve(at(decideV1), queue, (request) => timed(clock.nowMs(), remembered.v1(request, v1)));
  const second = bus.serve(at(decideV2), queue, (request) => timed(clock.nowMs(), remembered.v2(request, v2)));
  return {
    get pending() {
      return first.pending + second.pending;
    },
    takeP95Ms() {
      const count = Math.min(answers, KEPT);
      answers = 0;
      return times.subarray(0, count).toSorted()[Math.ceil(count * PERCENTILE) - 1] ?? 0;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([first[Symbol.asyncDispose](), second[Symbol.asyncDispose]()]);
    },
  };
}
