// What a request has tried so far. The owning router keeps one per request and replaces it with every attempt;
// nothing in it comes from the caller. Each function gives a new history and leaves the old one alone.
import type { Target } from './policy.ts';

export interface History {
  /** Number of the current attempt, from 1. Each attempt has its own. */
  readonly attempt: number;
  /** Attempts that count against `max_attempts`: all but repeats on another worker. */
  readonly counted: number;
  readonly current: Target;
  /** Providers with a failed attempt, without the current one. */
  readonly failed: ReadonlySet<string>;
  /** Repeated tries of the current provider, by index of the fallback that asked for them. */
  readonly tries: ReadonlyMap<number, number>;
  /** Draws after a failure. */
  readonly failovers: number;
  /** A request is escalated once. */
  readonly hasEscalated: boolean;
}

const NONE: ReadonlySet<string> = new Set<string>();
const NO_TRIES: ReadonlyMap<number, number> = new Map<number, number>();

/** The first attempt. */
export const begun = (target: Target): History => ({
  attempt: 1,
  counted: 1,
  current: target,
  failed: NONE,
  tries: NO_TRIES,
  failovers: 0,
  hasEscalated: false,
});

/** The same provider at once on another worker; the attempt does not count (policy 7.1, case 2). */
export const repeated = (history: History): History => ({ ...history, attempt: history.attempt + 1 });

/** The same provider again, asked for by the fallback `item`. */
export const retried = (history: History, item: number): History => ({
  ...history,
  attempt: history.attempt + 1,
  counted: history.counted + 1,
  tries: new Map(history.tries).set(item, (history.tries.get(item) ?? 0) + 1),
});

/** Another provider: by a fallback, by an escalation, or by another draw, which is a failover. */
export const moved = (history: History, target: Target, reason: 'fallback' | 'failover' | 'escalated'): History => ({
  attempt: history.attempt + 1,
  counted: history.counted + 1,
  current: target,
  failed: allFailed(history),
  tries: NO_TRIES,
  failovers: history.failovers + (reason === 'failover' ? 1 : 0),
  hasEscalated: history.hasEscalated || reason === 'escalated',
});

/** Providers with a failed attempt once the current attempt has failed as well. */
export const allFailed = (history: History): ReadonlySet<string> => new Set(history.failed).add(history.current.name);
