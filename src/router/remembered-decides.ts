// What was decided under a key, for an hour: whoever asks again with the same body gets the same answer (contracts 6).
// M1. Another body under a key that is taken is refused, and nothing is decided.
// M2. Only an answer is kept: what was refused may be asked again.
// M3. An interactive request without a key of its own is not kept: its id is fresh each time, and hashing every body
//     would cost each of them more than it could save. The decider knows those that run now, and refuses their repeats.
// M4. Durable pushes have a record of their own, which outlives every router.
// M5. What was refused or replaced holds no answer, and its place at most as long as `countMax` others are held.
import type { DecideRequest, DecideRequestV1, DecideResponse, DecideResponseV1 } from '../contracts/decide.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { fromV1, isDurable } from './jobs/durable-request.ts';
import { digestOf } from './jobs/job-digest.ts';

const KEPT_MS = 3_600_000;
const COUNT_MAX = 10_000;
const CHARS_MAX = 16_777_216;
/** Of one answer beside its own text. */
const OVERHEAD_CHARS = 256;

type Answer = DecideResponse | DecideResponseV1;

interface Remembered {
  readonly key: string;
  readonly digest: string;
  readonly untilMs: number;
  /** Undefined once it is gone. */
  answer: Answer | Promise<Answer> | undefined;
  chars: number;
}

export class RememberedDecides {
  readonly #clock: Clock;
  readonly #countMax: number;
  readonly #charsMax: number;
  readonly #kept = new Map<string, Remembered>();
  /** In the order in which they expire; those before `#first` are gone. */
  #order: (Remembered | undefined)[] = [];
  #first = 0;
  /** Those at or behind `#first` that were refused or replaced. */
  #gone = 0;
  #chars = 0;

  constructor(clock: Clock, { countMax = COUNT_MAX, charsMax = CHARS_MAX } = {}) {
    this.#clock = clock;
    this.#countMax = countMax;
    this.#charsMax = charsMax;
  }

  /** Places that are held, also those of answers that are gone: at most three times `countMax`. */
  get places(): number {
    return this.#order.length;
  }

  /** Throws what `decide` throws, and `idempotency_conflict`. */
  v1(
    request: DecideRequestV1,
    decide: (request: DecideRequestV1) => DecideResponseV1 | Promise<DecideResponseV1>,
  ): DecideResponseV1 | Promise<DecideResponseV1> {
    if (request.push_assignment === true) return decide(request);
    const { request_id, trace_id } = request;
    const context = { request_id, ...(trace_id === undefined ? {} : { trace_id }) };
    return this.#answer(
      { version: '1', request: fromV1(request) },
      () => decide(request),
      (kept) => ({ ...kept, context }),
    );
  }

  /** As `v1`. */
  v2(
    request: DecideRequest,
    decide: (request: DecideRequest) => DecideResponse | Promise<DecideResponse>,
  ): DecideResponse | Promise<DecideResponse> {
    const isFresh = request.idempotency_key === undefined && request.push_assignment === true;
    if (isFresh || isDurable(request) || request.options?.dry_run === true) return decide(request);
    const { request_id, tenant_id, trace_id } = request;
    const context = { request_id, tenant_id, ...(trace_id === undefined ? {} : { trace_id }) };
    return this.#answer(
      { version: '2', request },
      () => decide(request),
      (kept) => ({ ...kept, duplicate: true, context }),
    );
  }

  #answer<A extends Answer>(
    { version, request }: { readonly version: string; readonly request: DecideRequest },
    decide: () => A | Promise<A>,
    repeated: (kept: A) => A,
  ): A | Promise<A> {
    const key = `${version} ${request.tenant_id} ${request.idempotency_key ?? request.request_id}`;
    const digest = `${request.push_assignment === true ? 'push' : 'ask'} ${digestIn(request)}`;
    this.#expire();
    const known = request.reask === 1 ? undefined : this.#kept.get(key);
    if (known === undefined) return this.#decided(key, digest, decide);
    if (known.digest !== digest) {
      throw new BeamlineError('idempotency_conflict', 'the key stands for another request', {
        details: { intake: 'IDEMPOTENCY_VIOLATION' },
      });
    }
    // The key has the version, so the answer has its form.
    const answer = known.answer as A | Promise<A>;
    return answer instanceof Promise ? answer.then(repeated) : repeated(answer);
  }

  #decided<A extends Answer>(key: string, digest: string, decide: () => A | Promise<A>): A | Promise<A> {
    const answer = decide();
    const untilMs = this.#clock.nowMs() + KEPT_MS;
    const entry: Remembered = { key, digest, untilMs, answer, chars: OVERHEAD_CHARS };
    this.#keep(entry);
    if (!(answer instanceof Promise)) {
      this.#settle(entry, answer);
      return answer;
    }
    answer.then(
      (value) => this.#settle(entry, value),
      () => this.#forget(entry),
    );
    return answer;
  }

  #keep(entry: Remembered): void {
    const before = this.#kept.get(entry.key);
    if (before !== undefined) this.#forget(before);
    this.#kept.set(entry.key, entry);
    this.#order.push(entry);
    this.#chars += entry.chars;
  }

  #settle(entry: Remembered, answer: Answer): void {
    if (this.#kept.get(entry.key) !== entry) return;
    const { length } = JSON.stringify(answer);
    entry.answer = answer;
    entry.chars += length;
    this.#chars += length;
    this.#expire();
  }

  #forget(entry: Remembered): void {
    if (this.#kept.get(entry.key) !== entry) return;
    this.#kept.delete(entry.key);
    this.#chars -= entry.chars;
    entry.answer = undefined;
    this.#gone++;
  }

  /** Lets go of what is over, and of the oldest where there is too much. */
  #expire(): void {
    const nowMs = this.#clock.nowMs();
    for (let entry = this.#order[this.#first]; entry !== undefined; entry = this.#order[this.#first]) {
      const isTooMuch = this.#kept.size > this.#countMax || this.#chars > this.#charsMax;
      const isGone = this.#kept.get(entry.key) !== entry;
      if (!isTooMuch && !isGone && entry.untilMs > nowMs) break;
      this.#forget(entry);
      this.#order[this.#first++] = undefined;
      this.#gone--;
    }
    if (this.#first + this.#gone < this.#countMax) return;
    this.#order = this.#order.filter((entry) => entry !== undefined && this.#kept.get(entry.key) === entry);
    this.#first = 0;
    this.#gone = 0;
  }
}

/** Throws `invalid_request` for a body that has no canonical form. */
function digestIn(request: DecideRequest): string {
  try {
    return digestOf(request);
  } catch (cause) {
    throw new BeamlineError('invalid_request', 'the body holds text that is not Unicode', { cause });
  }
}
