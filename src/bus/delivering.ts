// How both buses run the handler of a stream's deliveries: what it throws is a nak by the consumer's delays.
// What no handler may see goes another way, and ends only when somebody has taken it.
import type { ConsumerSpec } from '../contracts/streams.ts';
import type { BeamlineError } from '../core/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { Delivery, Undeliverable } from './bus.ts';
import { type ContractCounters, ruleOf } from './bus-counters.ts';
import type { Running } from './handling.ts';

export type DeliveryHandler<M> = (delivery: Delivery<M>) => void | Promise<void>;
export type UndeliverableHandler = (message: Undeliverable) => Promise<void>;

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

/** Why a delivery goes to nobody. */
export type Reason = Pick<Undeliverable, 'reason' | 'fault'>;

/** Whether this delivery is one too many; the limit counts those that a handler has seen. */
export const isExhausted = ({ deliveryLimit }: ConsumerSpec, count: number): boolean =>
  deliveryLimit !== undefined && count > deliveryLimit;

export type Forgiving<M> = ((message: M) => Promise<number>) | undefined;

/** What becomes of a delivery above the limit: it goes on where enough of the earlier ones do not count. */
export function judge<M>(
  delivery: Delivery<M>,
  forgiven: NonNullable<Forgiving<M>>,
  deps: {
    readonly spec: ConsumerSpec;
    readonly running: Running;
    readonly log: Log;
    readonly goOn: () => void;
    readonly giveUp: () => void;
  },
): void {
  const { spec, running, log } = deps;
  running.begin();
  void forgiven(delivery.message)
    .then(
      (count) => (isExhausted(spec, delivery.count - count) ? deps.giveUp() : deps.goOn()),
      (fault: unknown) => {
        log.warn('bus_delivery_not_judged', { source: spec.durable, attempt: delivery.count, fault });
        delivery.nak(nakDelayMs(spec, delivery.count));
      },
    )
    .finally(() => running.end());
}

export const EXHAUSTED: Reason = { reason: 'exhausted', fault: undefined };
export const unreadable = (fault: BeamlineError): Reason => ({ reason: 'unreadable', fault });

/** Gives a delivery to `undeliverable`: terminated once that resolves, delivered again when it throws. */
export function giveUp(
  delivery: Pick<Delivery<unknown>, 'count' | 'seq' | 'nak' | 'term'>,
  message: () => Undeliverable,
  { reason, fault }: Reason,
  deps: {
    readonly spec: ConsumerSpec;
    readonly running: Running;
    readonly log: Log;
    readonly counters: ContractCounters;
    readonly undeliverable: UndeliverableHandler | undefined;
  },
): void {
  const { spec, running, log, counters, undeliverable } = deps;
  if (reason === 'unreadable') counters.violated(ruleOf(fault));
  if (undeliverable === undefined) {
    if (reason === 'exhausted') counters.dropped('exhausted');
    log.error('bus_stream_message_dropped', { source: spec.durable, count: delivery.seq, fault: fault ?? reason });
    return delivery.term();
  }
  const failed = (thrown: unknown): void => {
    log.error('bus_undeliverable_kept', { source: spec.durable, attempt: delivery.count, fault: thrown });
    delivery.nak(nakDelayMs(spec, delivery.count));
  };
  running.begin();
  void (async () => undeliverable(message()))()
    .then(() => delivery.term(), failed)
    .finally(() => running.end());
}
