// Threads for work that may have to be killed: one request at a time each, no environment, a bounded heap (worker 12).
// T1. What ends before its answer, by its signal, its time or its memory, ends by the death of its thread.
// T2. A thread that answered is kept for the next request; one that nobody waits for does not hold the process.
import { Worker } from 'node:worker_threads';
import type { Timers } from '../../core/timers.ts';

export interface ThreadsOptions {
  /** What a thread runs; it answers each message of its parent with one. */
  readonly module: URL;
  readonly threadsMax: number;
  readonly timers: Timers;
}

export interface ThreadRun {
  readonly signal: AbortSignal;
  /** Milliseconds of the processor; absent: as long as the signal lets it. */
  readonly cpuMs?: number;
}

export interface Ran<Answer> {
  readonly answer: Answer;
  /** What the thread used of the processor for it. */
  readonly cpuMs: number;
}

export type ThreadEnd = 'busy' | 'cpu' | 'memory' | 'crash';

/** A request that has no answer because of its thread. */
export class ThreadEnded extends Error {
  override readonly name = 'ThreadEnded';
  readonly end: ThreadEnd;

  constructor(end: ThreadEnd, options?: ErrorOptions) {
    super(end, options);
    this.end = end;
  }
}

type CpuUsage = Awaited<ReturnType<Worker['cpuUsage']>>;

const HEAP_MIB = 256;
const WAITING_MAX = 1_024;
/** Least time between two looks at what a thread has used. */
const LOOK_MS = 20;

export class Threads<Request, Answer> implements AsyncDisposable {
  readonly #options: ThreadsOptions;
  readonly #threads = new Set<Worker>();
  #idle: Worker[] = [];
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** Throws `ThreadEnded`, or the reason of the signal. */
  async run(request: Request, run: ThreadRun): Promise<Ran<Answer>> {
    await this.#turn(run.signal);
    try {
      run.signal.throwIfAborted();
      const thread = this.#idle.pop() ?? (await this.#open(run.signal));
      return await this.#ask(thread, request, run);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  /** Kills every thread, and with it what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#threads, (thread) => thread.terminate()));
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < this.#options.threadsMax) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= WAITING_MAX) throw new ThreadEnded('busy');
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== go);
        reject(signal.reason as Error);
      };
      const go = (): void => {
        signal.removeEventListener('abort', abort);
        this.#running++;
        resolve();
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(go);
    });
  }

  /** The thread says when it has loaded; its start is nobody's time. */
  async #open(signal: AbortSignal): Promise<Worker> {
    const thread = new Worker(this.#options.module, {
      env: {},
      execArgv: [],
      stdin: false,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    });
    this.#threads.add(thread);
    thread.once('exit', () => {
      this.#threads.delete(thread);
      this.#idle = this.#idle.filter((other) => other !== thread);
    });
    // Somebody must listen, or the death of an idle thread is the death of the process.
    thread.on('error', () => undefined);
    try {
      await answerOf(thread, signal, () => undefined);
      return thread;
    } catch (fault) {
      await thread.terminate();
      throw fault;
    }
  }

  async #ask(
    thread: Worker,
    request: Request,
    { signal, cpuMs = Number.POSITIVE_INFINITY }: ThreadRun,
  ): Promise<Ran<Answer>> {
    thread.ref();
    const start = await thread.cpuUsage();
    const watch = this.#watch(thread, start, cpuMs);
    try {
      const answer = await answerOf(thread, AbortSignal.any([signal, watch.signal]), () => thread.postMessage(request));
      const used = await usedMs(thread, start);
      thread.unref();
      this.#idle.push(thread);
      return { answer: answer as Answer, cpuMs: Math.ceil(used) };
    } catch (fault) {
      await thread.terminate();
      throw fault;
    } finally {
      watch.stop();
    }
  }

  /** Aborts when the thread has used its time; waits for the processor do not count. */
  #watch(thread: Worker, start: CpuUsage, cpuMs: number): { readonly signal: AbortSignal; stop(): void } {
    const ended = new AbortController();
    if (cpuMs === Number.POSITIVE_INFINITY) return { signal: ended.signal, stop: () => undefined };
    const look = async (): Promise<void> => {
      const leftMs = cpuMs - (await usedMs(thread, start));
      if (leftMs <= 0) ended.abort(new ThreadEnded('cpu'));
      else if (!isOver) timer = this.#options.timers.after(Math.max(LOOK_MS, leftMs), run);
    };
    // A thread that is gone has nothing to be watched.
    const run = (): void => void look().catch(() => undefined);
    let isOver = false;
    let timer = this.#options.timers.after(Math.max(LOOK_MS, cpuMs), run);
    return {
      signal: ended.signal,
      stop() {
        isOver = true;
        timer.cancel();
      },
    };
  }
}

async function usedMs(thread: Worker, start: CpuUsage): Promise<number> {
  const { user, system } = await thread.cpuUsage(start);
  return (user + system) / 1_000;
}

/** The next message of the thread, after `ask`. */
function answerOf(thread: Worker, signal: AbortSignal, ask: () => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      thread.off('message', onMessage);
      thread.off('error', onError);
      thread.off('exit', onExit);
      signal.removeEventListener('abort', onAbort);
      then();
    };
    const onMessage = (answer: unknown): void => settle(() => resolve(answer));
    const onError = (fault: unknown): void => settle(() => reject(endOf(fault)));
    const onExit = (): void => settle(() => reject(new ThreadEnded('crash')));
    const onAbort = (): void => settle(() => reject(signal.reason as Error));
    thread.on('message', onMessage);
    thread.on('error', onError);
    thread.on('exit', onExit);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else ask();
  });
}

function endOf(cause: unknown): ThreadEnded {
  const isMemory = cause instanceof Error && 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
  return new ThreadEnded(isMemory ? 'memory' : 'crash', { cause });
}
