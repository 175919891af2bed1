// How loaded a worker is, with hysteresis (worker 8): quick to say so, slow to take it back. Pure.
import { OVERLOAD_LEVELS } from '../contracts/assignment.ts';

export type OverloadLevel = (typeof OVERLOAD_LEVELS)[number];

/** One second of a worker. */
export interface LoadSample {
  /** Share of the line of calls that is taken, of the fullest class. */
  readonly queueShare: number;
  /** 99th percentile of the event loop's delay over five seconds, in milliseconds. */
  readonly lagMs: number;
  /** Resident memory as a share of the limit. */
  readonly memoryShare: number;
}

export interface Load {
  readonly level: number;
  /** What the last sample alone said. */
  readonly last: number;
  /** Samples in a row that are well below the level's threshold. */
  readonly calm: number;
}

export const noLoad: Load = { level: 0, last: 0, calm: 0 };

/** From these values on; for the queue contracts 4.6, for the others worker 8. */
const FROM: readonly LoadSample[] = [
  { queueShare: 0, lagMs: 0, memoryShare: 0 },
  { queueShare: 0.5, lagMs: 50, memoryShare: 0.75 },
  { queueShare: 0.8, lagMs: 100, memoryShare: 0.85 },
  { queueShare: 1, lagMs: 250, memoryShare: 0.95 },
];
const CRITICAL = FROM.length - 1;
/** A level is left below this share of its thresholds, after so many samples. */
const LEAVE_SHARE = 0.8;
const LEAVE_SAMPLES = 5;

const SIGNALS = ['queueShare', 'lagMs', 'memoryShare'] as const;

const reaches = (sample: LoadSample, level: number, share = 1): boolean => {
  const from = FROM[level];
  return from !== undefined && SIGNALS.some((signal) => sample[signal] >= from[signal] * share);
};

/** What follows a sample. The worst signal wins; a level is entered after two samples, the last one after one. */
export function nextLoad(load: Load, sample: LoadSample): Load {
  const last = FROM.findLastIndex((_, level) => level === 0 || reaches(sample, level));
  const entered = last === CRITICAL ? CRITICAL : Math.min(last, load.last);
  if (entered > load.level) return { level: entered, last, calm: 0 };
  if (load.level === 0 || reaches(sample, load.level, LEAVE_SHARE)) return { ...load, last, calm: 0 };
  const calm = load.calm + 1;
  return calm < LEAVE_SAMPLES ? { ...load, last, calm } : { level: load.level - 1, last, calm: 0 };
}

export const levelOf = ({ level }: Load): OverloadLevel => OVERLOAD_LEVELS[level] ?? 'critical';
