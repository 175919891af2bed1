// Places for work that may have to be killed, each for one request at a time (worker 12).
// N1. What ends before its answer, by its signal, its time or its memory, ends by the death of its place.
// N2. A place that answered is kept for the next request; one that nobody waits for does not hold the process.
import type { Timers } from '../../core/timers.ts';

/** What a place tells: that it is ready, then one answer for each request, and at last why it is gone. */
export type RunnerWord =
  | { readonly kind: 'answer'; readonly answer: unknown }
  | { readonly kind: 'gone'; readonly end: 'memory' | 'crash'; readonly cause?: unknown };

/** A thread or a process. */
export interface Runner {
  /** There is one listener at a time. */
  onWord: (word: RunnerWord) => void;
  post(request: unknown): void;
  /** Whether the process has to live for it. */
  hold(isHeld: boolean): void;
  /** Milliseconds of the processor so far. */
  usedMs(): Promise<number>;
  /** Resolves when nothing of it is left. */
  kill(): Promise<void>;
}

export interface RunnersOptions {
  readonly open: () => Runner;
  readonly runnersMax: number;
  readonly timers: Timers;
}

export interface Run {
  readonly signal: AbortSignal;
  /** Milliseconds of the processor; absent: as long as the signal lets it. */
  readonly cpuMs?: number;
}

export interface Ran<Answer> {
  readonly answer: Answer;
  readonly cpuMs: number;
}

export type RunEnd = 'busy' | 'cpu' | 'memory' | 'crash';

/** A request that has no answer because of where it ran. */
export class RunEnded extends Error {
  override readonly name = 'RunEnded';
  readonly end: RunEnd;

  constructor(end: RunEnd, options?: ErrorOptions) {
    super(end, options);
    this.end = end;
  }
}

const WAITING_MAX = 1_024;
/** Least time between two looks at what a runner has used. */
const LOOK_MS = 20;

export class Runners<Request, Answer> implements AsyncDisposable {
  readonly #options: RunnersOptions;
  readonly #runners = new Set<Runner>();
  readonly #idle: Runner[] = [];
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(options: RunnersOptions) {
    this.#options = options;
  }

  /** Throws `RunEnded`, or the reason of the signal. */
  async run(request: Request, run: Run): Promise<Ran<Answer>> {
    await this.#turn(run.signal);
    try {
      run.signal.throwIfAborted();
      const runner = this.#idle.pop() ?? (await this.#open(run.signal));
      return await this.#ask(runner, request, run);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  /** Kills every one, and with it what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#runners, (runner) => runner.kill()));
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < this.#options.runnersMax) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= WAITING_MAX) throw new RunEnded('busy');
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

  /** Its start is nobody's time: it says when it has loaded. */
  async #open(signal: AbortSignal): Promise<Runner> {
    const runner = this.#options.open();
    this.#runners.add(runner);
    try {
      await wordOf(runner, signal, () => undefined);
      return runner;
    } catch (fault) {
      await this.#lose(runner);
      throw fault;
    }
  }

  async #ask(
    runner: Runner,
    request: Request,
    { signal, cpuMs = Number.POSITIVE_INFINITY }: Run,
  ): Promise<Ran<Answer>> {
    const ended = new AbortController();
    let stop = (): void => undefined;
    try {
      runner.hold(true);
      const startMs = await runner.usedMs();
      stop = this.#watch(runner, startMs + cpuMs, () => ended.abort(new RunEnded('cpu')));
      const answer = await wordOf(runner, AbortSignal.any([signal, ended.signal]), () => runner.post(request));
      const usedMs = await runner.usedMs();
      this.#keep(runner);
      return { answer: answer as Answer, cpuMs: Math.ceil(usedMs - startMs) };
    } catch (fault) {
      await this.#lose(runner);
      throw fault;
    } finally {
      stop();
    }
  }

  #keep(runner: Runner): void {
    runner.hold(false);
    runner.onWord = ({ kind }) => {
      if (kind === 'answer') return;
      this.#runners.delete(runner);
      const at = this.#idle.indexOf(runner);
      if (at !== -1) this.#idle.splice(at, 1);
    };
    this.#idle.push(runner);
  }

  async #lose(runner: Runner): Promise<void> {
    this.#runners.delete(runner);
    await runner.kill();
  }

  /** Calls `end` when the runner has used its time; waits for the processor do not count. */
  #watch(runner: Runner, endMs: number, end: () => void): () => void {
    if (endMs === Number.POSITIVE_INFINITY) return () => undefined;
    const { timers } = this.#options;
    let isOver = false;
    const look = async (): Promise<void> => {
      const leftMs = endMs - (await runner.usedMs());
      if (isOver) return;
      if (leftMs <= 0) end();
      else timer = timers.after(Math.max(LOOK_MS, leftMs), run);
    };
    // One that is gone has nothing to be watched.
    const run = (): void => void look().catch(() => undefined);
    let timer = timers.after(LOOK_MS, run);
    return () => {
      isOver = true;
      timer.cancel();
    };
  }
}

/** The next word of the runner, after `ask`. */
function wordOf(runner: Runner, signal: AbortSignal, ask: () => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      runner.onWord = () => undefined;
      signal.removeEventListener('abort', abort);
      then();
    };
    const abort = (): void => settle(() => reject(signal.reason as Error));
    runner.onWord = (word) =>
      settle(() =>
        word.kind === 'answer' ? resolve(word.answer) : reject(new RunEnded(word.end, { cause: word.cause })),
      );
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    else ask();
  });
}
