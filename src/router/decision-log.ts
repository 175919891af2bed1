// Keeps what was decided and how it ended, off the request path (policy 11.3).
// L1. The request path only makes a record and puts it into a bounded queue; writing happens on a timer, in batches.
// L2. What does not fit, cannot be written or is not JSON is dropped and counted; a request never hears of it.
// L3. A sink that fails is asked again after half a minute; a full disk is told once, and once when it takes lines again.
import type { AttemptOutcome } from '../contracts/outcome.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Verdict } from '../policy/decide.ts';
import {
  type AttemptRecord,
  type OutcomeRecord,
  recordOf,
  type RequestRecord,
  type ShadowRecord,
  type UsageRecord,
} from '../policy/decision-record.ts';
import { unit } from '../core/hash.ts';
import { type Facts, seedOf, type Snapshot } from '../policy/facts.ts';
import type { Policy } from '../policy/policy.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { KeptRecords } from './kept-records.ts';

const QUEUE_MAX = 4_096;
const FLUSH_MS = 200;
const PAUSE_MS = 30_000;
/** Records of one write: few enough that making their text does not hold up a request for long. */
const BATCH_MAX = 128;
/** Longest line; a request's context may be large. */
const LINE_CHARS_MAX = 262_144;

/** One line of JSON, and the policy that decided; undefined for an outcome. */
export interface LogLine {
  readonly text: string;
  readonly policy: Policy | undefined;
}

/** Where lines are kept. */
export interface RecordSink extends AsyncDisposable {
  /** Resolves when the system has the lines. Is not called again before that. */
  write(lines: readonly LogLine[]): Promise<void>;
}

export interface DecisionLogDeps {
  readonly sink: RecordSink;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Share of the requests that are recorded, 0 to 1; the seed says which, so all attempts of a request are or none. */
  readonly sample: number;
  readonly queueMax?: number;
  /** Records of one second; those above it are passed over. Absent: all. */
  readonly perSecondMax?: number;
  /** Reads what `sink` keeps; absent: nobody can. */
  readonly kept?: KeptRecords;
}

/** An attempt that no decision made. */
export type Followed = Pick<AttemptRecord, 'attempt' | 'provider_id' | 'model' | 'reason' | 'why' | 'after'>;

/** The end of an attempt as its worker told it, or as its router states it. */
export type Ended = Pick<AttemptOutcome, 'attempt' | 'provider_id' | 'state' | 'latency_ms'> &
  Partial<Pick<AttemptOutcome, 'ttft_ms' | 'output_tokens' | 'cost_micro_usd'>> & {
    readonly error?: { readonly code: string } | undefined;
  };

interface Entry {
  readonly record: RequestRecord | ShadowRecord;
  readonly policy: Policy | undefined;
}

export class DecisionLog implements AsyncDisposable {
  readonly #deps: DecisionLogDeps;
  readonly #queueMax: number;
  readonly #dropped: Counter;
  #queue: Entry[] = [];
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Since the sink failed; undefined while it takes lines. */
  #failing: { readonly untilMs: number } | undefined;
  #second = 0;
  #inSecond = 0;

  constructor(deps: DecisionLogDeps) {
    this.#deps = deps;
    this.#queueMax = deps.queueMax ?? QUEUE_MAX;
    this.#dropped = deps.telemetry.metrics
      .counter({
        name: 'router_decision_records_dropped_total',
        help: 'Records of decisions and outcomes that were lost: the queue was full or they could not be written.',
      })
      .of();
  }

  /** Not for dry runs, which leave no trace. */
  decided(policy: Policy, facts: Facts, snapshot: Snapshot, verdict: Verdict): void {
    if (!this.#isSampled(facts) || !this.#hasRoom()) return;
    const record = recordOf(policy, facts, snapshot, verdict, this.#deps.timers.clock.epochMs());
    this.#put({ record, policy });
  }

  /** Hears of each further attempt that was not decided on: the same again, a fallback, an escalation. */
  followed({ policyId, revision }: Policy, facts: Facts, attempt: Followed): void {
    if (!this.#isSampled(facts) || !this.#hasRoom()) return;
    const record: AttemptRecord = {
      type: 'attempt',
      time_ms: this.#deps.timers.clock.epochMs(),
      tenant_id: facts.tenantId,
      request_id: facts.requestId,
      policy_id: policyId,
      revision,
      ...attempt,
    };
    this.#put({ record, policy: undefined });
  }

  /** Hears every outcome of a request; those that end nothing are passed over. */
  ended(facts: Facts, outcome: Ended): void {
    const { state } = outcome;
    if (state === 'committed' || !this.#isSampled(facts) || !this.#hasRoom()) return;
    this.#put({ record: { type: 'outcome', ...this.#endOf(facts, outcome, state) }, policy: undefined });
  }

  /** Hears how the copy of a request has ended, to keep it beside the request. */
  shadowEnded(facts: Facts, outcome: AttemptOutcome): void {
    const { state, cost_micro_usd } = outcome;
    if (state === 'committed' || !this.#isSampled(facts) || !this.#hasRoom()) return;
    this.#put({ record: { type: 'shadow', ...this.#endOf(facts, outcome, state), cost_micro_usd }, policy: undefined });
  }

  /** Hears what an attempt took; of requests in experiments it is kept, for the report of their arms. */
  metered(event: UsageEvent): void {
    const { experiments, request_id, policy_id, tenant_id, attempt = 1 } = event;
    if (experiments === undefined || request_id === undefined || policy_id === undefined) return;
    if (!this.#isSampled({ tenantId: tenant_id, requestId: request_id }) || !this.#hasRoom()) return;
    const { input_tokens = 0, output_tokens = 0, cost_micro_usd = 0, estimated } = event;
    const record: UsageRecord = {
      type: 'usage',
      time_ms: this.#deps.timers.clock.epochMs(),
      tenant_id,
      request_id,
      policy_id,
      attempt,
      arms: experiments.map(({ id: experiment, arm }) => ({ experiment, arm })),
      input_tokens,
      output_tokens,
      cost_micro_usd,
      estimated: estimated === true ? true : undefined,
    };
    this.#put({ record, policy: undefined });
  }

  /** What is kept, with everything that was decided before this was called; undefined if nobody can read it. */
  async kept(): Promise<KeptRecords | undefined> {
    await this.#write();
    return this.#deps.kept;
  }

  /** Writes what is queued and closes the sink. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#write();
    await this.#deps.sink[Symbol.asyncDispose]();
  }

  #endOf(facts: Facts, outcome: Ended, state: OutcomeRecord['state']): Omit<OutcomeRecord, 'type'> {
    return {
      time_ms: this.#deps.timers.clock.epochMs(),
      tenant_id: facts.tenantId,
      request_id: facts.requestId,
      attempt: outcome.attempt,
      provider_id: outcome.provider_id,
      state,
      code: outcome.error?.code,
      latency_ms: outcome.latency_ms,
      ttft_ms: outcome.ttft_ms,
      output_tokens: outcome.output_tokens,
    };
  }

  #isSampled(facts: Parameters<typeof seedOf>[0]): boolean {
    const { sample } = this.#deps;
    return (sample >= 1 || (sample > 0 && unit(`record|${seedOf(facts)}`) < sample)) && this.#isInTime();
  }

  #isInTime(): boolean {
    const { perSecondMax, timers } = this.#deps;
    if (perSecondMax === undefined) return true;
    const second = Math.floor(timers.clock.nowMs() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#inSecond = 0;
    }
    return this.#inSecond++ < perSecondMax;
  }

  #hasRoom(): boolean {
    if (!this.#isPaused() && this.#queue.length < this.#queueMax) return true;
    this.#dropped.add();
    return false;
  }

  #put(entry: Entry): void {
    this.#queue.push(entry);
    this.#timer ??= this.#deps.timers.after(FLUSH_MS, () => void this.#write());
  }

  /** One write after the other. */
  #write(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#flush());
    return this.#writing;
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0 && !this.#isPaused()) {
      const lines = this.#linesOf(this.#queue.splice(0, BATCH_MAX));
      try {
        // eslint-disable-next-line no-await-in-loop -- lines keep the order of the decisions
        if (lines.length > 0) await this.#deps.sink.write(lines);
        if (this.#failing !== undefined) this.#deps.telemetry.log.info('decision_records_resumed');
        this.#failing = undefined;
      } catch (fault) {
        this.#fail(fault, lines.length);
      }
    }
  }

  #fail(fault: unknown, lost: number): void {
    if (this.#failing === undefined) this.#deps.telemetry.log.error('decision_records_stopped', { fault });
    this.#failing = { untilMs: this.#deps.timers.clock.nowMs() + PAUSE_MS };
    this.#dropped.add(lost + this.#queue.length);
    this.#queue = [];
  }

  #isPaused = (): boolean => this.#failing !== undefined && this.#deps.timers.clock.nowMs() < this.#failing.untilMs;

  #linesOf(entries: readonly Entry[]): readonly LogLine[] {
    const lines: LogLine[] = [];
    for (const { record, policy } of entries) {
      const text = textOf(record);
      if (text === undefined || text.length > LINE_CHARS_MAX) this.#dropped.add();
      else lines.push({ text, policy });
    }
    return lines;
  }
}

function textOf(record: RequestRecord | ShadowRecord): string | undefined {
  try {
    return JSON.stringify(record);
  } catch {
    return undefined;
  }
}
