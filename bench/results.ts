// The measurements of a run, looked up by candidate and workload. Index i of every list is round i, so that
// candidates are compared within a round and noise of the machine that comes and goes falls out.
import type { CandidateId } from './candidates.ts';
import type { Measurement } from './measure.ts';

type Figure =
  | 'requestsPerSecond'
  | 'p50Ms'
  | 'p99Ms'
  | 'cpuUs'
  | 'events'
  | 'candidateBusy'
  | 'loadBusy'
  | 'driverUs'
  | 'otherBusy';

export interface Fault {
  readonly candidate: CandidateId;
  readonly workload: string;
  readonly errors: number;
  readonly first: string;
}

export class Results {
  readonly #faults: Fault[] = [];
  readonly #slots = new Map<string, Measurement[]>();
  readonly #rssMb = new Map<CandidateId, number>();
  readonly #missing = new Map<CandidateId, string>();

  add(candidate: CandidateId, workload: string, measurement: Measurement): void {
    this.rounds(candidate, workload).push(measurement);
  }

  note(fault: Fault): void {
    this.#faults.push(fault);
  }

  /** A candidate that could not be started, and why. */
  miss(candidate: CandidateId, reason: string): void {
    this.#missing.set(candidate, reason);
  }

  setRssMb(candidate: CandidateId, rssMb: number): void {
    this.#rssMb.set(candidate, rssMb);
  }

  get missing(): ReadonlyMap<CandidateId, string> {
    return this.#missing;
  }

  rssMb(candidate: CandidateId): number[] {
    const value = this.#rssMb.get(candidate);
    return value === undefined ? [] : [value];
  }

  rounds(candidate: CandidateId, workload: string): Measurement[] {
    const key = `${candidate} ${workload}`;
    const found = this.#slots.get(key) ?? [];
    this.#slots.set(key, found);
    return found;
  }

  values(candidate: CandidateId, workload: string, figure: Figure): number[] {
    return this.rounds(candidate, workload).map((measurement) => measurement[figure]);
  }

  /** Round by round, `candidate` divided by `other`; empty when one of them was not measured. */
  ratio(candidate: CandidateId, other: CandidateId, workload: string, figure: Figure): number[] {
    return this.#pairs(candidate, other, workload, figure).map(([mine, theirs]) => mine / theirs);
  }

  /** Round by round, what `candidate` adds to the latency of the direct way, in milliseconds. */
  added(candidate: CandidateId, workload: string, figure: 'p50Ms' | 'p99Ms'): number[] {
    return this.#pairs(candidate, 'direct', workload, figure).map(([mine, direct]) => mine - direct);
  }

  /** What went wrong, also outside the measured spans. */
  get faults(): readonly Fault[] {
    return this.#faults;
  }

  errors(candidate: CandidateId): number {
    return this.#faults.reduce((sum, fault) => sum + (fault.candidate === candidate ? fault.errors : 0), 0);
  }

  #pairs(candidate: CandidateId, other: CandidateId, workload: string, figure: Figure): [number, number][] {
    const theirs = this.values(other, workload, figure);
    return this.values(candidate, workload, figure)
      .slice(0, theirs.length)
      .map((mine, round) => [mine, theirs[round] ?? Number.NaN]);
  }
}
