// Usage events from the stream into the fold, many at a time.
// I1. A delivery is acknowledged after the transaction that holds it was committed, never before.
// I2. While the database is away deliveries are held and nothing is acknowledged, so the stream stops by itself at its bound;
//     the same batch is tried again until it goes through.
// I3. An event that the fold refuses by itself is given up alone; it never holds up another.
import type { Delivery } from '../bus/bus.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import { type CrashPoints, noCrash } from '../core/crash-point.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { FoldedUsage } from './usage-row.ts';

export type UsageDelivery = Delivery<UsageEvent>;

export interface IntakeDeps {
  readonly timers: Timers;
  readonly log: Log;
  /** Deliveries of one transaction. */
  readonly batch: number;
  /** Throws for an event that can have no row. */
  readonly rowOf: (event: UsageEvent) => FoldedUsage;
  /** All of them or nothing. */
  readonly fold: (usages: readonly FoldedUsage[]) => Promise<void>;
  /** Keeps what is given up elsewhere; the delivery comes again if that fails. */
  readonly giveUp: (delivery: UsageDelivery, fault: BeamlineError) => Promise<void>;
  /** After a commit. */
  readonly onCommitted: (deliveries: readonly UsageDelivery[]) => void;
  /** A delivery that comes again. */
  readonly onRefused: (delivery: UsageDelivery) => void;
  readonly crash?: CrashPoints | undefined;
}

/** How long a batch waits for more: each costs a sync of the disk. */
const GATHER_MS = 50;
const PAUSE_MS = 500;
const PAUSE_MAX_MS = 5_000;
/** A third of the ack wait of the consumer. */
const HOLD_MS = 10_000;
const HELD_MAX = 10_000;
/** Another transaction may win as often before it counts as an outage. */
const CONFLICTS_MAX = 5;
/** A delivery that could not even be given up. */
const AGAIN_MS = 30_000;

export class UsageIntake {
  readonly #deps: IntakeDeps;
  #held: UsageDelivery[] = [];
  #timer: Timer | undefined;
  #working: Promise<void> | undefined;
  #fault: BeamlineError | undefined;
  #heldSinceMs = 0;
  /** Those who wait for all that is held. */
  #hurried = 0;
  readonly #closing = new AbortController();
  /** Of deliveries whose turn comes next. */
  readonly #rows = new WeakMap<UsageDelivery, FoldedUsage>();

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Why nothing is folded; undefined while all is well. */
  get fault(): BeamlineError | undefined {
    return this.#fault;
  }

  get held(): number {
    return this.#held.length;
  }

  /** Age of the oldest delivery that is held. */
  get lagMs(): number {
    return this.#held.length === 0 ? 0 : this.#deps.timers.clock.nowMs() - this.#heldSinceMs;
  }

  take(delivery: UsageDelivery): void {
    if (this.#held.length >= HELD_MAX || this.#closing.signal.aborted) return this.#refuse(delivery, PAUSE_MAX_MS);
    const { timers, batch } = this.#deps;
    if (this.#held.length === 0) this.#heldSinceMs = timers.clock.nowMs();
    this.#held.push(delivery);
    if (this.#working !== undefined) return;
    if (this.#held.length >= batch) this.#start();
    else this.#gather();
  }

  /** Folds what is held without waiting for more; resolves when nothing is held, or the database is away. */
  async idle(): Promise<void> {
    this.#hurried++;
    try {
      this.#start();
      await this.#working;
    } finally {
      this.#hurried--;
    }
  }

  /** Folds what is held, once; what does not go through is delivered again to whoever comes. */
  async drain(): Promise<void> {
    this.#closing.abort();
    this.#start();
    await this.#working;
    this.#held = [];
  }

  #gather(): void {
    this.#timer ??= this.#deps.timers.after(GATHER_MS, () => this.#start());
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#working !== undefined) return;
    const holding = this.#hold();
    this.#working = this.#work().finally(() => {
      holding[Symbol.dispose]();
      this.#working = undefined;
      if (this.#held.length > 0 && !this.#closing.signal.aborted) this.#gather();
    });
  }

  async #work(): Promise<void> {
    const { timers, batch } = this.#deps;
    for (let failures = 0; this.#held.length > 0;) {
      const deliveries = this.#held.slice(0, batch);
      // eslint-disable-next-line no-await-in-loop -- one transaction after the other
      if (await this.#fold(deliveries, failures)) {
        this.#held = this.#held.slice(deliveries.length);
        this.#heldSinceMs = timers.clock.nowMs();
        failures = 0;
        // A few that came meanwhile wait for others.
        if (this.#held.length < batch && this.#hurried === 0 && !this.#closing.signal.aborted) return;
        continue;
      }
      if (this.#closing.signal.aborted) return;
      const pauseMs = Math.min(PAUSE_MS * 2 ** Math.max(0, failures++ - CONFLICTS_MAX), PAUSE_MAX_MS);
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(pauseMs, this.#closing.signal).catch(() => undefined);
    }
  }

  /** False if the same deliveries must be tried again. */
  async #fold(deliveries: readonly UsageDelivery[], failures: number): Promise<boolean> {
    try {
      const good = await this.#readable(deliveries);
      const folding = this.#deps.fold(good.map(({ usage }) => usage));
      // By then the database works, or its disk does.
      setImmediate(() => this.#readAhead(deliveries.length));
      await folding;
      (this.#deps.crash ?? noCrash)(12);
      for (const { delivery } of good) delivery.ack();
      this.#recovered();
      this.#deps.onCommitted(deliveries);
      return true;
    } catch (thrown) {
      const fault = BeamlineError.from(thrown);
      if (fault.code === 'unavailable' || fault.code === 'service_overloaded') return this.#failed(fault);
      if (fault.code === 'conflict' && failures < CONFLICTS_MAX) return false;
      if (fault.code === 'conflict') return this.#failed(fault);
      return this.#foldEach(deliveries, fault);
    }
  }

  /** Finds the event that the database refuses. */
  async #foldEach(deliveries: readonly UsageDelivery[], fault: BeamlineError): Promise<boolean> {
    const [only] = deliveries;
    if (deliveries.length === 1 && only !== undefined) {
      await this.#giveUp(only, fault);
      return true;
    }
    for (const delivery of deliveries) {
      // eslint-disable-next-line no-await-in-loop -- one by one is the point
      if (!(await this.#fold([delivery], 0))) return false;
    }
    return true;
  }

  async #readable(
    deliveries: readonly UsageDelivery[],
  ): Promise<readonly { readonly delivery: UsageDelivery; readonly usage: FoldedUsage }[]> {
    const good: { delivery: UsageDelivery; usage: FoldedUsage }[] = [];
    for (const delivery of deliveries) {
      try {
        good.push({ delivery, usage: this.#rows.get(delivery) ?? this.#deps.rowOf(delivery.message) });
        this.#rows.delete(delivery);
      } catch (fault) {
        // eslint-disable-next-line no-await-in-loop -- rare
        await this.#giveUp(delivery, BeamlineError.from(fault));
      }
    }
    return good;
  }

  /** What has no row is given up when its turn comes. */
  #readAhead(from: number): void {
    try {
      for (const delivery of this.#held.slice(from, from + this.#deps.batch)) {
        if (!this.#rows.has(delivery)) this.#rows.set(delivery, this.#deps.rowOf(delivery.message));
      }
    } catch {
      return;
    }
  }

  async #giveUp(delivery: UsageDelivery, fault: BeamlineError): Promise<void> {
    try {
      await this.#deps.giveUp(delivery, fault);
      delivery.term();
    } catch (unkept) {
      this.#deps.log.error('usage_event_refused', { fault: unkept });
      this.#refuse(delivery, AGAIN_MS);
    }
  }

  #refuse(delivery: UsageDelivery, againMs: number): void {
    this.#deps.onRefused(delivery);
    delivery.nak(againMs);
  }

  #failed(fault: BeamlineError): false {
    if (this.#fault === undefined) this.#deps.log.error('ledger_database_away', { code: fault.code, fault });
    this.#fault = fault;
    return false;
  }

  #recovered(): void {
    if (this.#fault === undefined) return;
    this.#fault = undefined;
    this.#deps.log.info('ledger_database_back', { count: this.#held.length });
  }

  /** Tells the stream again and again that what is held is being worked on. */
  #hold(): Disposable {
    const { timers } = this.#deps;
    let timer = timers.after(HOLD_MS, function again() {
      tell();
      timer = timers.after(HOLD_MS, again);
    });
    const tell = (): void => {
      for (const delivery of this.#held) delivery.working();
    };
    return { [Symbol.dispose]: () => timer.cancel() };
  }
}
