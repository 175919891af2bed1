// Relays frames from workers to the callers who wait: one subscription per process, one exchange per request.
// L1. A reader hears exactly one `end` or `fail`, by the deadline, and never before `open` has returned.
// L2. Commit boundary: the first chunk or end frame accepted. Every other attempt is dropped and cancelled from then on.
// L3. Before it, silence is answered by asking the router once more, if time is left; after it by `worker_lost`.
// L4. Whatever runs, is decided or starts for a request that is over is cancelled: nobody reads it, and the tenant pays.
// L5. The decision and the frames may come in either order.
import type { Received } from '../bus/bus.ts';
import { at, atEach, everyOf } from '../contracts/contract.ts';
import { cancel, type CancelReason } from '../contracts/cancel.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import type { Correlation } from '../contracts/headers.ts';
import { LiveList } from '../core/live-list.ts';
import type { Exchange, Exchanges, Order, Reader } from './order.ts';
import { type RelayDeps, RelayedExchange, type RelayPort } from './relayed-exchange.ts';

export interface Relay extends Exchanges, AsyncDisposable {}

export function startRelay(deps: RelayDeps): Relay {
  const { bus, timers, settings } = deps;
  const exchanges = new LiveList<RelayedExchange>();
  const log = deps.telemetry.log.for('relay');
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
    cancelAttempt: stop,
  };

  /** Without a way to the bus nobody hears it, and the deadline does the same; it runs where nothing may be thrown. */
  function stop(
    { tenantId, traceId }: Correlation,
    { assignmentId, attempt }: { readonly assignmentId: string; readonly attempt?: number },
    reason: CancelReason,
  ): void {
    if (bus.state !== 'connected') return;
    const message = {
      version: '2' as const,
      tenant_id: tenantId,
      assignment_id: assignmentId,
      requested_at_ms: timers.clock.epochMs(),
      reason,
      ...(attempt === undefined ? {} : { attempt }),
    };
    try {
      bus.publish(cancels, message, { traceId, tenantId });
    } catch (fault) {
      log.warn('cancel_not_sent', { tenant_id: tenantId, assignment_id: assignmentId, fault });
    }
  }

  function orphaned(
    { assignment_id: assignmentId, attempt }: StreamFrame,
    { tenantId, traceId = '-' }: Received,
  ): void {
    if (tenantId !== undefined) stop({ tenantId, traceId }, { assignmentId, attempt }, 'superseded');
  }

  const subscription = bus.subscribe(
    everyOf(frames, { gateway_id: settings.gatewayId }),
    {},
    (frame: StreamFrame, received) => {
      const { subject } = received;
      const streamId = subject.slice(subject.lastIndexOf('.') + 1);
      const exchange = exchanges.get(Number.parseInt(streamId, 36));
      // A place is used again; a frame that comes late must not reach the next one there.
      if (exchange?.streamId === streamId) exchange.frame(frame);
      // Whoever asked is gone, and so may be the decision that would have told whom to stop.
      else if (frame.type === 'start') orphaned(frame, received);
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
