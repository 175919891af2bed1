// Both versions of decide on the bus, with what was answered before them.
import type { Bus, Subscription } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { decideV1, decideV2 } from '../contracts/decide.ts';
import type { Clock } from '../core/clock.ts';
import type { Decider } from './decider.ts';
import { RememberedDecides } from './remembered-decides.ts';

export function serveDecide(bus: Bus, decider: Pick<Decider, 'v1' | 'v2'>, clock: Clock): readonly Subscription[] {
  const remembered = new RememberedDecides(clock);
  const v1 = decider.v1.bind(decider);
  const v2 = decider.v2.bind(decider);
  return [
    bus.serve(at(decideV1), { queue: 'router' }, (request) => remembered.v1(request, v1)),
    bus.serve(at(decideV2), { queue: 'router' }, (request) => remembered.v2(request, v2)),
  ];
}
