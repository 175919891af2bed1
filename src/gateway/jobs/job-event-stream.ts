// The course of one job as server-sent events (gateway 14.1, 15.3): each change of its status under its number, and one
// terminal event with the whole job; then the end. Output while it is made is not told.
import { isTerminal, type JobState } from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timer } from '../../core/timers.ts';
import { SSE_KEEP_ALIVE } from '../../dialect/sse-writer.ts';
import type { Call, Owner } from '../call.ts';
import type { GatewaySettings } from '../settings.ts';
import { followJob, type FollowDeps, seqOf } from './follow-job.ts';
import type { JobRecord } from './job-records.ts';
import { shownJob, shownStatus, shownWord, timeOf } from './job-view.ts';

const HEAD = [
  'content-type',
  'text/event-stream; charset=utf-8',
  'cache-control',
  'no-cache',
  'x-accel-buffering',
  'no',
] as const;

/** After a shutdown clients come back within one to three seconds. */
const RETRY_MIN_MS = 1_000;
const RETRY_SPREAD_MS = 2_000;

export interface JobEventStreamDeps extends FollowDeps {
  readonly settings: GatewaySettings['stream'];
  /** Aborted when the process begins to leave. */
  readonly leaving: AbortSignal;
  /** A share from 0 to 1, drawn anew. */
  readonly draw: () => number;
}

export class JobEventStream implements Owner {
  readonly #call: Call;
  readonly #deps: JobEventStreamDeps;
  readonly #record: JobRecord;
  readonly #place: Disposable;
  readonly #following: Disposable;
  #lastSeq: number;
  #timer: Timer;
  #isOver = false;
  /** Since when the reader has taken nothing of what waits for it. */
  #stuckMs: number | undefined;
  readonly #leave = (): void => this.#shutDown();

  /** `lastSeq` is the number of the last change that the caller knows; `place` is given back at the end. */
  constructor(call: Call, deps: JobEventStreamDeps, record: JobRecord, lastSeq: number | undefined, place: Disposable) {
    this.#call = call;
    this.#deps = deps;
    this.#record = record;
    this.#place = place;
    this.#lastSeq = lastSeq ?? 0;
    call.owner = this;
    call.writeHead(200, HEAD);
    call.res.flushHeaders();
    this.#timer = deps.timers.after(deps.settings.heartbeat_ms, () => this.#beat());
    deps.leaving.addEventListener('abort', this.#leave);
    if (record.state === undefined && lastSeq === undefined) this.#tellAccepted();
    // What is there is told below; the follower tells what comes after it.
    this.#following = followJob(deps, record, (state) => this.#tell(state));
    if (record.state !== undefined) this.#tell(record.state);
  }

  gone(): void {
    this.#close();
  }

  abort(): void {
    this.#shutDown();
  }

  #tellAccepted(): void {
    const { job_id, created_at_ms } = this.#record.request;
    this.#write(eventOf('status', { job_id, status: shownStatus(undefined), at: timeOf(created_at_ms), attempt: 0 }));
  }

  #tell(state: JobState): void {
    if (this.#isOver) return;
    const { job_id } = this.#record.request;
    const isEnd = isTerminal(state.status);
    const last = seqOf(state);
    for (const { seq, status, at_ms, attempt } of state.transitions) {
      if (seq <= this.#lastSeq || (isEnd && seq === last)) continue;
      const shown = status === state.status && seq === last ? shownStatus(state) : shownWord(status);
      this.#write(eventOf('status', { job_id, status: shown, at: timeOf(at_ms), attempt }, seq));
    }
    this.#lastSeq = Math.max(this.#lastSeq, last);
    if (isEnd && !this.#isOver) this.#end(eventOf('end', shownJob({ ...this.#record, state }), last));
  }

  #end(lastEvent: string): void {
    this.#close();
    this.#call.res.end(lastEvent);
    this.#call.finish(200);
  }

  #shutDown(): void {
    if (this.#isOver) return;
    const retryMs = Math.floor(RETRY_MIN_MS + RETRY_SPREAD_MS * this.#deps.draw());
    this.#end(`retry: ${retryMs}\n${eventOf('shutdown', {})}`);
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer.cancel();
    this.#deps.leaving.removeEventListener('abort', this.#leave);
    this.#following[Symbol.dispose]();
    this.#place[Symbol.dispose]();
  }

  #write(text: string): void {
    const { res } = this.#call;
    if (this.#isOver) return;
    if (res.writableLength > this.#deps.settings.buffer_bytes) this.#tooSlow();
    else res.write(text);
  }

  #beat(): void {
    const { timers, settings } = this.#deps;
    const nowMs = timers.clock.nowMs();
    this.#stuckMs = this.#call.res.writableLength === 0 ? undefined : (this.#stuckMs ?? nowMs);
    if (this.#stuckMs !== undefined && nowMs - this.#stuckMs >= settings.stall_ms) return this.#tooSlow();
    this.#write(SSE_KEEP_ALIVE);
    if (!this.#isOver) this.#timer = timers.after(settings.heartbeat_ms, () => this.#beat());
  }

  #tooSlow(): void {
    this.#call.edge.metrics.slowClients.of(this.#call.dialect).add();
    this.#close();
    this.#call.finish(499, new BeamlineError('client_closed', 'The client did not read.'));
    this.#call.res.destroy();
  }
}

/** `data` becomes one line: JSON has no raw line breaks. */
const eventOf = (type: string, data: unknown, seq?: number): string =>
  `${seq === undefined ? '' : `id: ${seq}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
