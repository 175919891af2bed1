// Marks of attempts with an external effect: one that was started is never started again (worker 4).
// A1. A mark is created before the effect, create-only, and says who started it; nobody else may then.
// A2. It stands until the record of the job says that the attempt is over (finished-marks.ts), or for a day.
import type { KeyValue } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { type BucketSpec, keyOf } from '../../contracts/bucket.ts';
import { BeamlineError } from '../../core/errors.ts';

const DAY_MS = 86_400_000;

export const attemptBucket: BucketSpec = { name: 'attempts', ttlMs: DAY_MS, bytesMax: 268_435_456, supersedes };

export interface AttemptKey {
  readonly tenantId: string;
  readonly assignmentId: string;
  readonly attempt: number;
}

export const attemptKeyOf = ({ tenant_id, assignment_id, attempt = 1 }: ExecAssignment): AttemptKey => ({
  tenantId: tenant_id,
  assignmentId: assignment_id,
  attempt,
});

export const attemptText = ({ tenantId, assignmentId, attempt }: AttemptKey): string =>
  `${tenantId}\n${assignmentId}\n${attempt}`;

/** `started`: it is ours to run. `lost`: another process began it, and nobody knows how far it came. */
export type MarkerFound = 'started' | 'lost' | 'done';

interface Marker {
  readonly process?: unknown;
  readonly state?: unknown;
}

const keyTo = ({ tenantId, assignmentId, attempt }: AttemptKey): string =>
  keyOf(tenantId, assignmentId, String(attempt));

/** Beside the mark: deliveries that do not count. */
const keyToGiven = ({ tenantId, assignmentId, attempt }: AttemptKey): string =>
  keyOf(tenantId, assignmentId, String(attempt), 'given');

export class AttemptMarkers {
  readonly #bucket: KeyValue;
  readonly #processId: string;

  /** `processId` differs with every start of a process. */
  constructor(bucket: KeyValue, processId: string) {
    this.#bucket = bucket;
    this.#processId = processId;
  }

  /**
   * Creates the mark, or reads the one that is there. One of this very process is taken as started: whoever asks knows
   * that it does not run here, so that only the answer to its creation was lost. Throws `unavailable`.
   */
  async start(key: AttemptKey): Promise<MarkerFound> {
    try {
      await this.#bucket.update(keyTo(key), this.#value('running'), 0);
      return 'started';
    } catch (thrown) {
      if (!(thrown instanceof BeamlineError) || thrown.code !== 'precondition_failed') throw thrown;
    }
    // It expired in between: a day old, or the bucket lost it.
    return (await this.find(key)) ?? 'lost';
  }

  /** Reads the mark, if there is one. Throws `unavailable`. */
  async find(key: AttemptKey): Promise<MarkerFound | undefined> {
    const entry = await this.#bucket.get(keyTo(key));
    if (entry === undefined) return undefined;
    const marker = markerIn(entry.value);
    if (marker.state === 'done') return 'done';
    return marker.process === this.#processId ? 'started' : 'lost';
  }

  /** When a mark was written that is there, by the clock of its store. Throws `unavailable`. */
  async writtenMs(key: AttemptKey): Promise<number | undefined> {
    return this.#bucket.writtenMs(keyTo(key));
  }

  /** The result is on its stream. Throws `unavailable`. */
  async done(key: AttemptKey): Promise<void> {
    await this.#bucket.putPassing(keyTo(key), this.#value('done'));
  }

  /** For an attempt that is over by the record of its job. Throws `unavailable`. */
  async erase(key: AttemptKey): Promise<void> {
    await this.#bucket.erase(keyTo(key));
  }

  /** Counts a delivery that is given back before anything began; how many there are now. Throws `unavailable`. */
  async giveBack(key: AttemptKey): Promise<number> {
    const count = (await this.givenBack(key)) + 1;
    await this.#bucket.put(keyToGiven(key), String(count));
    return count;
  }

  /** Throws `unavailable`. */
  async givenBack(key: AttemptKey): Promise<number> {
    const count = Number((await this.#bucket.get(keyToGiven(key)))?.value ?? 0);
    return Number.isSafeInteger(count) ? count : 0;
  }

  /** As `erase`, of the count. */
  async eraseGiven(key: AttemptKey): Promise<void> {
    await this.#bucket.erase(keyToGiven(key));
  }

  /** Resolves if marks can be written now. Throws `unavailable`. */
  async probe(): Promise<void> {
    await this.#bucket.put(keyOf('-', this.#processId), this.#value('done'));
  }

  #value(state: 'running' | 'done'): string {
    return JSON.stringify({ process: this.#processId, state });
  }
}

/** What is done is done, whoever began it. */
function supersedes(ours: string, standing: string): boolean {
  return markerIn(ours).state === 'done' && markerIn(standing).state !== 'done';
}

/** A mark that cannot be read is somebody else's. */
function markerIn(text: string): Marker {
  try {
    const marker: unknown = JSON.parse(text);
    return typeof marker === 'object' && marker !== null ? marker : {};
  } catch {
    return {};
  }
}
