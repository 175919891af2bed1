// Relays frames from workers to the callers who wait: one subscription per process, one exchange per request.
// L1. A reader hears exactly one `end` or `fail`, by the deadline, and never before `open` has returned.
// L2. Commit boundary: the first chunk or end frame accepted. Every other attempt is dropped and cancelled from then on.
// L3. Before it, silence is answered by asking the router once more, if time is left; after it by `worker_lost`.
// L4. The decision and the frames may come in either order.
import { at, atEach, everyOf } from '../contracts/contract.ts';
import { cancel } from '../contracts/cancel.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { LiveList } from '../core/live-list.ts';
import type { Exchange, Exchanges, Order, Reader } from './order.ts';
import { type RelayDeps, RelayedExchange, type RelayPort } from './relayed-exchange.ts';

export interface Relay extends Exchanges, AsyncDisposable {}

export function startRelay(deps: RelayDeps): Relay {
  const { bus, timers, settings } = deps;
  const exchanges = new LiveList<RelayedExchange>();
  const cancels = at(cancel);
  const deliverTo = atEach(frames, { gateway_id: settings.gatewayId });
  let streams = 0;

  const port: RelayPort = {
    ...deps,
    enter(exchange) {
      const place = exchanges.add(exchange);
      const streamId = `${place.toString(36)}-${(streams++).toString(36)}`;
      return { place, streamId, deliverTo: deliverTo(streamId) };
    },
    release: (place) => exchanges.delete(place),
    cancelAttempt(order, { assignmentId, attempt }, reason) {
      if (bus.state !== 'connected') return;
      const message = {
        version: '2' as const,
        tenant_id: order.tenantId,
        assignment_id: assignmentId,
        requested_at_ms: timers.clock.epochMs(),
        reason,
        ...(attempt === undefined ? {} : { attempt }),
      };
      bus.publish(cancels, message, { traceId: order.traceId, tenantId: order.tenantId });
    },
  };

  const subscription = bus.subscribe(
    everyOf(frames, { gateway_id: settings.gatewayId }),
    {},
    (frame: StreamFrame, { subject }) => {
      const streamId = subject.slice(subject.lastIndexOf('.') + 1);
      const exchange = exchanges.get(Number.parseInt(streamId, 36));
      // A place is used again; a frame that comes late must not reach the next one there.
      if (exchange?.streamId === streamId) exchange.frame(frame);
    },
  );

  return {
    get active() {
      return exchanges.size;
    },
    open(order: Order, reader: Reader): Exchange {
      return new RelayedExchange(port, order, reader);
    },
    [Symbol.asyncDispose]: () => subscription.drain(),
  };
}
