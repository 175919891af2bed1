// Orders jobs as a careful client does: each under a key of its own, again and again until it is accepted. What was
// accepted is on the disk of the client before it counts, so that this log is its truth. Some of them it cancels a moment
// later, and some get less time than they may need: which ones, and after how long, is the seed's.
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { TENANTS } from './fleet.ts';
import { type Random, randomFrom } from './random.ts';

export interface AcceptedLine {
  readonly tenant: (typeof TENANTS)[number];
  readonly key: string;
  readonly id: string;
}

export interface SubmitOptions {
  readonly url: string;
  readonly keys: Readonly<Record<string, string>>;
  readonly jobs: number;
  readonly seed: number;
  readonly random: Random;
  /** The time over which the orders are spread. */
  readonly overMs: number;
  readonly logPath: string;
  /** `fickle` ones cancel some of their jobs, and give some too little time. */
  readonly callers: 'patient' | 'fickle';
  /** Ends it early: nothing more is ordered, or asked again. */
  readonly signal?: AbortSignal;
}

export interface Submitted {
  /** Answers that were not 202, by status; `-` where none came. */
  readonly again: Readonly<Record<string, number>>;
  /** Orders that were repeated after their acceptance. */
  readonly repeats: number;
  /** Jobs that were asked to end after their acceptance, and jobs with a short deadline. */
  readonly cancels: number;
  readonly hurried: number;
  /** What must not be. */
  readonly faults: readonly string[];
}

const AT_ONCE = 64;
const ANSWER_MS = 10_000;
const GIVE_UP_MS = 90_000;
const PAUSE_MS = 250;
/** One of so many is ordered a second time after it was accepted. */
const REPEATED = 8;
/** Shares of the jobs, and the longest wait before the one and the longest time of the other. */
const CANCELLED = 0.15;
const CANCEL_MS_MAX = 1_500;
const HURRIED = 0.15;
const HURRIED_MS_MAX = 2_000;

type Fate = { readonly kind: 'kept' } | { readonly kind: 'cancelled' | 'hurried'; readonly afterMs: number };

/** The same for the same seed, whatever else is drawn. */
function fateOf({ seed, callers }: Pick<SubmitOptions, 'seed' | 'callers'>, n: number): Fate {
  if (callers === 'patient') return { kind: 'kept' };
  const random = randomFrom(seed * 1_000_003 + n);
  const [share, length] = [random(), random()];
  if (share < CANCELLED) return { kind: 'cancelled', afterMs: Math.floor(length * CANCEL_MS_MAX) };
  if (share > 1 - HURRIED) return { kind: 'hurried', afterMs: 100 + Math.floor(length * HURRIED_MS_MAX) };
  return { kind: 'kept' };
}

export const readAccepted = (path: string): readonly AcceptedLine[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as AcceptedLine]));

export async function submitJobs(options: SubmitOptions): Promise<Submitted> {
  const { jobs, overMs, random, logPath, signal } = options;
  const again: Record<string, number> = {};
  const faults: string[] = [];
  let [repeats, cancels, hurried] = [0, 0, 0];
  const log = openSync(logPath, 'a', 0o600);
  const one = async (n: number): Promise<void> => {
    const isRepeated = random() < 1 / REPEATED;
    const line = await accepted(options, n, again, faults);
    if (line === undefined) return;
    writeSync(log, `${JSON.stringify(line)}\n`);
    fsyncSync(log);
    const fate = fateOf(options, n);
    if (fate.kind === 'hurried') hurried++;
    if (fate.kind === 'cancelled') {
      cancels++;
      await cancelled(options, line, fate.afterMs, faults);
    }
    if (!isRepeated) return;
    repeats++;
    const second = await accepted(options, n, again, faults);
    if (second?.id !== line.id) faults.push(`the key ${line.key} of ${line.tenant} gave ${line.id} and ${second?.id}`);
  };
  const startedMs = performance.now();
  const running = new Set<Promise<void>>();
  for (let n = 0; n < jobs && signal?.aborted !== true; n++) {
    const waitMs = startedMs + (n * overMs) / jobs - performance.now();
    // eslint-disable-next-line no-await-in-loop -- the pace
    if (waitMs > 1) await sleep(waitMs);
    // eslint-disable-next-line no-await-in-loop -- a bound
    while (running.size >= AT_ONCE) await Promise.race(running);
    const order = one(n).finally(() => running.delete(order));
    running.add(order);
  }
  await Promise.all(running);
  closeSync(log);
  return { again, repeats, cancels, hurried, faults };
}

/** Undefined, with a fault, for one that was refused or never accepted. */
async function accepted(
  { url, keys, seed, callers, signal }: SubmitOptions,
  n: number,
  again: Record<string, number>,
  faults: string[],
): Promise<AcceptedLine | undefined> {
  const tenant = TENANTS[n % TENANTS.length] ?? TENANTS[0];
  // The same keys in both tenants: they must never meet.
  const key = `chaos-${seed}-${Math.floor(n / TENANTS.length)}`;
  const messages = [{ role: 'user', content: `How deep is lake ${n}?` }];
  const fate = fateOf({ seed, callers }, n);
  const task = { type: 'ai.chat', payload: { model: 'test-chat', messages } };
  const request = {
    method: 'POST',
    headers: {
      authorization: `Bearer ${keys[tenant]}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(fate.kind === 'hurried' ? { task, deadline_ms: fate.afterMs } : { task }),
  };
  const untilMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < untilMs && signal?.aborted !== true) {
    // eslint-disable-next-line no-await-in-loop -- one order after the other
    const answer = await answered(`${url}/api/v1/jobs`, request);
    if (answer.status === 202) return { tenant, key, id: (JSON.parse(answer.text) as { id: string }).id };
    const word = answer.status === 0 ? '-' : String(answer.status);
    again[word] = (again[word] ?? 0) + 1;
    if (answer.status > 0 && answer.status < 500 && answer.status !== 429) {
      faults.push(`${key} of ${tenant} was refused: ${answer.status} ${answer.text.slice(0, 200)}`);
      return undefined;
    }
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(PAUSE_MS);
  }
  faults.push(`${key} of ${tenant} was not accepted in ${GIVE_UP_MS} ms`);
  return undefined;
}

/** Asks for the end of a job until somebody has heard it; one that has ended by then says so. */
async function cancelled(
  { url, keys, signal }: SubmitOptions,
  { tenant, key, id }: AcceptedLine,
  afterMs: number,
  faults: string[],
): Promise<void> {
  await sleep(afterMs);
  const request = { method: 'POST', headers: { authorization: `Bearer ${keys[tenant]}` } };
  const untilMs = performance.now() + GIVE_UP_MS;
  while (performance.now() < untilMs && signal?.aborted !== true) {
    // eslint-disable-next-line no-await-in-loop -- one try after the other
    const { status, text } = await answered(`${url}/api/v1/jobs/${id}/cancel`, request);
    if (status === 200 || status === 202 || status === 409) return;
    if (status > 0 && status < 500 && status !== 429) {
      faults.push(`the cancel of ${key} of ${tenant} was refused: ${status} ${text.slice(0, 200)}`);
      return;
    }
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(PAUSE_MS);
  }
  faults.push(`the cancel of ${key} of ${tenant} was not heard in ${GIVE_UP_MS} ms`);
}

/** Status 0: no answer, or none in time. */
export async function answered(url: string, request: RequestInit): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(ANSWER_MS) });
    return { status: response.status, text: await response.text() };
  } catch {
    return { status: 0, text: '' };
  }
}
