// Jobs as this router wrote them last, so that the end of an attempt need not read what its beginning has just written.
// R1. What is here may be old. Whoever changes a job from it does so under its revision, and reads when that was lost.
import { LiveMap } from '../../core/live-map.ts';
import type { FoundJob } from './job-store.ts';

/** Characters of all that is kept; a larger one is not kept at all. */
const CHARS_MAX = 16_777_216;
const COUNT_MAX = 10_000;

interface Recent {
  readonly job: FoundJob;
  readonly chars: number;
}

export class RecentJobs {
  readonly #jobs = new LiveMap<Recent>();
  #chars = 0;

  get(key: string): FoundJob | undefined {
    return this.#jobs.get(key)?.job;
  }

  /** Where there is no room, what is there stays: it leaves with its end. */
  keep(key: string, job: FoundJob, chars: number): void {
    this.forget(key);
    if (this.#chars + chars > CHARS_MAX || this.#jobs.size >= COUNT_MAX) return;
    this.#jobs.set(key, { job, chars });
    this.#chars += chars;
  }

  forget(key: string): void {
    const recent = this.#jobs.get(key);
    if (recent === undefined) return;
    this.#jobs.delete(key);
    this.#chars -= recent.chars;
  }
}
