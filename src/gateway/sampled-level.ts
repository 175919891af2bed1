// The level of one signal of backpressure, from sample to sample (gateway 8): entered after two, left after three. Pure.

/** 0 normal, 1 warning, 2 active. */
export type Level = 0 | 1 | 2;

export interface SampledLevel {
  readonly level: Level;
  /** What the last sample alone said. */
  readonly last: Level;
  /** Samples in a row below the level, and the highest of them. */
  readonly below: number;
  readonly highest: Level;
  /** Samples in a row that did not come. */
  readonly missed: number;
}

export const NORMAL: SampledLevel = { level: 0, last: 0, below: 0, highest: 0, missed: 0 };

const LEAVE_SAMPLES = 3;
/** After so many that did not come nothing is known, and what was known counts no more. */
const MISSED_MAX = 5;

export const isUnknown = ({ missed }: SampledLevel): boolean => missed >= MISSED_MAX;

/** `sample` is undefined for one that did not come. */
export function nextLevel(before: SampledLevel, sample: Level | undefined): SampledLevel {
  if (sample === undefined) {
    const missed = Math.min(before.missed + 1, MISSED_MAX);
    return missed < MISSED_MAX ? { ...before, missed } : { ...NORMAL, missed };
  }
  const heard = { ...before, last: sample, missed: 0 };
  const entered = lower(sample, before.last);
  if (entered > before.level) return { ...heard, level: entered, below: 0, highest: 0 };
  if (sample >= before.level) return { ...heard, below: 0, highest: 0 };
  const below = before.below + 1;
  const highest = sample > before.highest ? sample : before.highest;
  if (below < LEAVE_SAMPLES) return { ...heard, below, highest };
  return { ...heard, level: highest, below: 0, highest: 0 };
}

const lower = (one: Level, other: Level): Level => (one < other ? one : other);
