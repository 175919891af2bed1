// What the live workers of each pool can do: kept up to date with every heartbeat, so that a decision only looks it up.
import { OVERLOAD_LEVELS } from '../contracts/assignment.ts';
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import { SLOT_CLASSES, type SlotClass } from '../contracts/slot-class.ts';

const DEFAULT_POOL = 'default';
/** Pools that are remembered; more would be a fault of the senders. */
const POOLS_MAX = 1_000;
const CRITICAL = OVERLOAD_LEVELS.indexOf('critical');
/** Share of its weight that a target keeps, by the best level of its pool (policy 4). */
const FACTORS: readonly number[] = [1, 0.7, 0.3];
/** Workers in these states take no new work. */
const LEAVING: ReadonlySet<WorkerHeartbeat['status']> = new Set(['draining', 'stopped']);

/** What one worker adds to its pool. */
export interface Member {
  readonly pool: string;
  /** Index in `OVERLOAD_LEVELS`. */
  readonly level: number;
  readonly slots: Places;
  /** Places for calls that were free when it spoke. */
  readonly free: number;
}

type Places = Record<SlotClass, number>;

interface Pool {
  /** Live workers that take work, by level. */
  readonly levels: number[];
  readonly slots: Places;
  free: number;
}

/** What all live workers have left. */
export interface FleetRoom {
  readonly slotsFree: number;
  /** There are workers, and none of them has room for another call in its line. */
  readonly isFull: boolean;
}

export class Pools {
  readonly #pools = new Map<string, Pool>();

  /** The pool was heard of, even if nobody is left in it. */
  isKnown(name: string): boolean {
    return this.#pools.has(name);
  }

  /** A live worker that takes interactive work is there. */
  takesWork(name: string): boolean {
    return best(this.#pools.get(name)) < CRITICAL;
  }

  /** 1 for a pool of which nothing is known. */
  factor(name: string): number {
    return FACTORS[best(this.#pools.get(name))] ?? 1;
  }

  /** Places of the live workers in all; 0 if nobody is there. */
  slots(name: string, slotClass: SlotClass): number {
    return this.#pools.get(name)?.slots[slotClass] ?? 0;
  }

  room(): FleetRoom {
    let slotsFree = 0;
    let workers = 0;
    let withRoom = 0;
    for (const { levels, free } of this.#pools.values()) {
      slotsFree += free;
      for (const [level, count] of levels.entries()) {
        workers += count;
        if (level < CRITICAL) withRoom += count;
      }
    }
    return { slotsFree, isFull: workers > 0 && withRoom === 0 };
  }

  /** Replaces what a worker added by what its heartbeat says; undefined for one that takes no work. */
  replace(was: Member | undefined, beat: WorkerHeartbeat): Member | undefined {
    this.remove(was);
    const name = beat.pool ?? DEFAULT_POOL;
    let pool = this.#pools.get(name);
    if (pool === undefined) {
      if (this.#pools.size >= POOLS_MAX) return undefined;
      this.#pools.set(name, (pool = { levels: OVERLOAD_LEVELS.map(() => 0), slots: { io: 0, cpu: 0 }, free: 0 }));
    }
    if (LEAVING.has(beat.status)) return undefined;
    const member = {
      pool: name,
      level: OVERLOAD_LEVELS.indexOf(beat.overload_status ?? 'healthy'),
      slots: { io: beat.slots?.['io']?.limit ?? 0, cpu: beat.slots?.['cpu']?.limit ?? 0 },
      free: Math.max(0, (beat.slots?.['io']?.limit ?? 0) - (beat.slots?.['io']?.active ?? 0)),
    };
    count(pool, member, 1);
    return member;
  }

  remove(member: Member | undefined): void {
    const pool = member === undefined ? undefined : this.#pools.get(member.pool);
    if (member !== undefined && pool !== undefined) count(pool, member, -1);
  }
}

function count(pool: Pool, { level, slots, free }: Member, by: 1 | -1): void {
  pool.free += by * free;
  pool.levels[level] = (pool.levels[level] ?? 0) + by;
  for (const slotClass of SLOT_CLASSES) pool.slots[slotClass] += by * slots[slotClass];
}

/** The best level of a pool's workers; past the worst one if it has none. */
function best(pool: Pool | undefined): number {
  if (pool === undefined) return OVERLOAD_LEVELS.length;
  const level = pool.levels.findIndex((workers) => workers > 0);
  return level === -1 ? OVERLOAD_LEVELS.length : level;
}
