// A bus that dies with its process, for tests: after so many things that others can see, nothing leaves any more and
// nothing is heard. What the process waits for then never comes.
import type { Bus, Delivery, KeyValue, Subscription } from '../../bus/bus.ts';

export interface Crash {
  /** Effects before the death, from 1; those of the start count. */
  readonly atEffect: number;
  /** Whether the last effect takes place: the process dies before it hears of it. */
  readonly isLastDone: boolean;
}

const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** What a process may still do: everything until the effect, or the last one with it, and nothing after that. */
function mortal({ atEffect, isLastDone }: Crash, onDeath: () => void) {
  const life = { effects: 0, isDead: false };
  const effect = <T>(run: () => Promise<T>): Promise<T> => {
    if (life.isDead) return never();
    if (++life.effects < atEffect) return run();
    life.isDead = true;
    onDeath();
    if (isLastDone) void run().catch(() => undefined);
    return never();
  };
  const alive = <T>(run: () => Promise<T>): Promise<T> =>
    life.isDead ? never() : run().then((value) => (life.isDead ? never<T>() : value));
  async function* each<T>(source: AsyncIterable<T>): AsyncGenerator<T, void> {
    for await (const one of source) yield await alive(async () => one);
    if (life.isDead) await never();
  }
  return { life, effect, alive, each };
}

export function crashingBus(inner: Bus, crash: Crash) {
  const subscriptions: Subscription[] = [];
  const { life, effect, alive, each } = mortal(crash, () => {
    // The server sees that the connection is gone.
    for (const subscription of subscriptions) void subscription.drain();
  });
  const kept = (subscription: Subscription): Subscription => {
    subscriptions.push(subscription);
    return subscription;
  };
  const bucketOf = (bucket: KeyValue): KeyValue => ({
    get: (key) => alive(() => bucket.get(key)),
    writtenMs: (key) => alive(() => bucket.writtenMs(key)),
    entries: (pattern) => alive(() => bucket.entries(pattern)),
    scan: (pattern) => each(bucket.scan(pattern)),
    keys: (pattern) => each(bucket.keys(pattern)),
    status: () => alive(() => bucket.status()),
    watch: (signal, pattern, after) => each(bucket.watch(signal, pattern, after)),
    put: (key, value) => effect(() => bucket.put(key, value)),
    putPassing: (key, value) => effect(() => bucket.putPassing(key, value)),
    update: (key, value, revision) => effect(() => bucket.update(key, value, revision)),
    delete: (key) => effect(() => bucket.delete(key)),
    erase: (key) => effect(() => bucket.erase(key)),
    forgetReplaced: (key) => effect(() => bucket.forgetReplaced(key)),
  });
  const deliveryOf = <M>(delivery: Delivery<M>): Delivery<M> => ({
    message: delivery.message,
    count: delivery.count,
    seq: delivery.seq,
    storedAtMs: delivery.storedAtMs,
    ack: () => void effect(async () => delivery.ack()),
    nak: (delayMs) => void effect(async () => delivery.nak(delayMs)),
    term: () => void effect(async () => delivery.term()),
    working: () => delivery.working(),
  });
  const bus: Bus = {
    get state() {
      return inner.state;
    },
    onState: (listener) => inner.onState(listener),
    request: (to, message, options) => alive(() => inner.request(to, message, options)),
    serve: (on, options, handle) =>
      kept(inner.serve(on, options, (request, received) => alive(async () => handle(request, received)))),
    publish: (to, message, correlation) =>
      void effect(async () => inner.publish(to, message, correlation)).catch(() => undefined),
    subscribe: (on, options, handle) =>
      kept(inner.subscribe(on, options, (message, received) => (life.isDead ? undefined : handle(message, received)))),
    ensureStream: (spec) => alive(() => inner.ensureStream(spec)),
    append: (to, message, options) => effect(() => inner.append(to, message, options)),
    consume: async (from, handle) =>
      kept(await inner.consume(from, (delivery) => (life.isDead ? never() : handle(deliveryOf(delivery))))),
    read: (stream, options) => alive(() => inner.read(stream, options)),
    progress: (stream, consumer) => alive(() => inner.progress(stream, consumer)),
    remove: (stream, seq) => effect(() => inner.remove(stream, seq)),
    trim: (stream, belowSeq) => effect(() => inner.trim(stream, belowSeq)),
    openBucket: async (spec) => bucketOf(await alive(() => inner.openBucket(spec))),
    flush: () => alive(() => inner.flush()),
    drain: () => never(),
    [Symbol.asyncDispose]: () => never(),
  };
  return { bus, life };
}
