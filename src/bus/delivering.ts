// How both buses run the handler of a stream's deliveries: what it throws is a nak by the consumer's delays.
import type { ConsumerSpec } from '../contracts/streams.ts';
import type { Log } from '../telemetry/log.ts';
import type { Delivery } from './bus.ts';
import type { Running } from './handling.ts';

export type DeliveryHandler<M> = (delivery: Delivery<M>) => void | Promise<void>;

/** The wait before redelivery number `count`; the last one repeats. */
const nakDelayMs = ({ nakDelaysMs }: ConsumerSpec, count: number): number =>
  nakDelaysMs[Math.min(count, nakDelaysMs.length) - 1] ?? 0;

export function deliver<M>(
  delivery: Delivery<M>,
  handle: DeliveryHandler<M>,
  deps: { readonly spec: ConsumerSpec; readonly running: Running; readonly log: Log },
): void {
  const { spec, running, log } = deps;
  const failed = (thrown: unknown): void => {
    log.error('bus_delivery_failed', {
      source: spec.durable,
      attempt: delivery.count,
      fault: thrown,
    });
    delivery.nak(nakDelayMs(spec, delivery.count));
  };
  try {
    const handled = handle(delivery);
    if (!(handled instanceof Promise)) return;
    running.begin();
    void handled.catch(failed).finally(() => running.end());
  } catch (thrown) {
    failed(thrown);
  }
}
