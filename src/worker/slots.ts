// The places to run of one class, and the lines before them.
// S1. At most `limit` holders at once; at most `queueMax` calls wait, `tenantMax` of one tenant, each for at most its time.
// S2. Tenants take turns (core/fair-queue.ts), and while several have work none holds more than its share of the places.
// S3. Jobs hold at most `jobsMax` places, and while jobs wait `jobsMin` are kept for them.
// S4. With a free place nothing is queued: entering costs one look at the tenant.
import { FairQueue, type Waiting } from '../core/fair-queue.ts';
import type { Timer, Timers } from '../core/timers.ts';

/** Tenants that are remembered while they have no work. */
const IDLE_TENANTS_MAX = 1_024;

/** Who waits for a place. `run` is called once when there is one, or `refuse` when the wait was too long. */
export interface SlotWaiter {
  readonly tenantId: string;
  readonly weight: number | undefined;
  readonly priority: number | undefined;
  readonly isJob: boolean;
  run(): void;
  refuse(): void;
}

/** Counts of places and of waiting calls. */
export interface SlotLimits {
  readonly limit: number;
  readonly queueMax: number;
  readonly tenantMax: number;
  readonly jobsMax: number;
  readonly jobsMin: number;
  /** Places of one tenant while others have work too. */
  readonly tenantShareMax: number;
}

/** What shares of the places mean in whole places; a class always has one place for jobs, and one for each tenant. */
export const slotLimits = (
  limit: number,
  queue: { readonly max: number; readonly tenant_max: number },
  shares: { readonly jobsMax: number; readonly jobsMin: number; readonly tenantMax: number },
): SlotLimits => ({
  limit,
  queueMax: queue.max,
  tenantMax: Math.min(queue.max, queue.tenant_max),
  jobsMax: Math.max(1, Math.floor(limit * shares.jobsMax)),
  jobsMin: Math.round(limit * shares.jobsMin),
  tenantShareMax: Math.max(1, Math.floor(limit * shares.tenantMax)),
});

/** Hears of each place that is given how long it was waited for, in milliseconds. */
export type OnWait = (isJob: boolean, waitedMs: number) => void;

interface TenantUse {
  active: number;
  queued: number;
}

interface Held {
  readonly place: Waiting<SlotWaiter>;
  readonly sinceMs: number;
  readonly timer: Timer | undefined;
}

export class Slots {
  readonly #limits: SlotLimits;
  readonly #timers: Timers;
  readonly #onWait: OnWait | undefined;
  readonly #calls = new FairQueue<SlotWaiter>();
  readonly #jobs = new FairQueue<SlotWaiter>();
  readonly #waiting = new Map<SlotWaiter, Held>();
  readonly #tenants = new Map<string, TenantUse>();
  #active = 0;
  #activeJobs = 0;
  /** Tenants with work, running or waiting. */
  #busyTenants = 0;
  #forgetAt = IDLE_TENANTS_MAX;
  #isFilling = false;

  constructor(limits: SlotLimits, timers: Timers, onWait?: OnWait) {
    this.#limits = limits;
    this.#timers = timers;
    this.#onWait = onWait;
  }

  get limit(): number {
    return this.#limits.limit;
  }

  /** Most places that jobs hold. */
  get jobsMax(): number {
    return this.#limits.jobsMax;
  }

  get active(): number {
    return this.#active;
  }

  get activeJobs(): number {
    return this.#activeJobs;
  }

  get queued(): number {
    return this.#calls.size + this.#jobs.size;
  }

  get queuedCalls(): number {
    return this.#calls.size;
  }

  get queuedJobs(): number {
    return this.#jobs.size;
  }

  /** Share of the line of calls that is taken. */
  get queueShare(): number {
    return this.#calls.size / this.#limits.queueMax;
  }

  /** Whether a call of the tenant could enter; `mayWait` false counts free places only. */
  hasRoomFor(tenantId: string, mayWait = true): boolean {
    if (this.#mayRun(this.#useOf(tenantId), false)) return true;
    return mayWait && this.#hasLine(tenantId);
  }

  /** Whether a job of the tenant would have a place at once. */
  mayRunJob(tenantId: string): boolean {
    return this.#mayRun(this.#useOf(tenantId), true);
  }

  /**
   * Takes a place at once, or a place in the line; false when the line is full too, which it never is for a job.
   * Without `waitMs` the wait is the waiter's own care. Give the place back with `release`.
   */
  enter(waiter: SlotWaiter, waitMs?: number): boolean {
    const use = this.#useOf(waiter.tenantId);
    if (this.#mayRun(use, waiter.isJob)) {
      this.#take(use, waiter);
      this.#onWait?.(waiter.isJob, 0);
      waiter.run();
      return true;
    }
    if (!waiter.isJob && !this.#hasLine(waiter.tenantId)) return false;
    const { tenantId, weight, priority } = waiter;
    const queue = waiter.isJob ? this.#jobs : this.#calls;
    const nowMs = this.#timers.clock.nowMs();
    const place = queue.add(waiter, { tenantId, weight, priority, nowMs });
    if (isIdle(use)) this.#busyTenants++;
    use.queued++;
    const timer = waitMs === undefined ? undefined : this.#timers.after(waitMs, () => this.#giveUp(waiter));
    this.#waiting.set(waiter, { place, sinceMs: nowMs, timer });
    return true;
  }

  /** Leaves the line; false if the waiter was not in it. */
  leave(waiter: SlotWaiter): boolean {
    const held = this.#forget(waiter);
    if (held === undefined) return false;
    (waiter.isJob ? this.#jobs : this.#calls).leave(held.place);
    // One tenant less may lift the share of another.
    this.#fill();
    return true;
  }

  /** Refuses everybody in the lines. */
  clear(): void {
    for (const waiter of [...this.#calls.clear(), ...this.#jobs.clear()]) {
      this.#forget(waiter);
      waiter.refuse();
    }
  }

  /** Gives the place of a waiter back that ran. */
  release(waiter: SlotWaiter): void {
    const use = this.#useOf(waiter.tenantId);
    use.active--;
    this.#active--;
    if (waiter.isJob) this.#activeJobs--;
    if (isIdle(use)) this.#busyTenants--;
    this.#fill();
  }

  #mayRun(use: TenantUse, isJob: boolean): boolean {
    const free = this.#limits.limit - this.#active;
    if (free <= 0 || !this.#isWithinShare(use)) return false;
    if (isJob) return this.#activeJobs < this.#limits.jobsMax;
    return this.#jobs.size === 0 || free > this.#limits.jobsMin - this.#activeJobs;
  }

  #isWithinShare(use: TenantUse): boolean {
    return this.#busyTenants - (isIdle(use) ? 0 : 1) === 0 || use.active < this.#limits.tenantShareMax;
  }

  #hasLine(tenantId: string): boolean {
    const { queueMax, tenantMax } = this.#limits;
    return this.#calls.size < queueMax && this.#calls.sizeOf(tenantId) < tenantMax;
  }

  #take(use: TenantUse, waiter: SlotWaiter): void {
    if (isIdle(use)) this.#busyTenants++;
    use.active++;
    this.#active++;
    if (waiter.isJob) this.#activeJobs++;
  }

  /** Gives free places to those who wait. What runs may end at once, so this can be called within itself. */
  #fill(): void {
    if (this.#isFilling || this.#waiting.size === 0) return;
    this.#isFilling = true;
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        // In this order: the tenant has work all the time.
        this.#take(this.#useOf(next.tenantId), next);
        const held = this.#forget(next);
        if (held !== undefined) this.#onWait?.(next.isJob, this.#timers.clock.nowMs() - held.sinceMs);
        next.run();
      }
    } finally {
      this.#isFilling = false;
    }
  }

  #next(): SlotWaiter | undefined {
    const { limit, jobsMin, jobsMax } = this.#limits;
    const free = limit - this.#active;
    if (free <= 0) return undefined;
    const missing = this.#jobs.size === 0 ? 0 : jobsMin - this.#activeJobs;
    return (
      (missing > 0 ? this.#jobs.next(this.#mayGo) : undefined) ??
      (free > missing ? this.#calls.next(this.#mayGo) : undefined) ??
      (this.#activeJobs < jobsMax ? this.#jobs.next(this.#mayGo) : undefined)
    );
  }

  readonly #mayGo = (tenantId: string): boolean => this.#isWithinShare(this.#useOf(tenantId));

  #giveUp(waiter: SlotWaiter): void {
    this.leave(waiter);
    waiter.refuse();
  }

  #forget(waiter: SlotWaiter): Held | undefined {
    const held = this.#waiting.get(waiter);
    if (held === undefined) return undefined;
    held.timer?.cancel();
    this.#waiting.delete(waiter);
    const use = this.#useOf(waiter.tenantId);
    use.queued--;
    if (isIdle(use)) this.#busyTenants--;
    return held;
  }

  #useOf(tenantId: string): TenantUse {
    let use = this.#tenants.get(tenantId);
    if (use === undefined) {
      if (this.#tenants.size >= this.#forgetAt) this.#forgetIdle();
      use = { active: 0, queued: 0 };
      this.#tenants.set(tenantId, use);
    }
    return use;
  }

  #forgetIdle(): void {
    for (const [tenantId, use] of this.#tenants) if (isIdle(use)) this.#tenants.delete(tenantId);
    this.#forgetAt = Math.max(IDLE_TENANTS_MAX, this.#tenants.size * 2);
  }
}

const isIdle = ({ active, queued }: TenantUse): boolean => active + queued === 0;
