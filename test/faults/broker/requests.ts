// Requests of a client who has patience for its deadline and a little more, and keeps what each was answered.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Doors } from './roles.ts';

/** What each interactive request may take. */
export const DEADLINE_MS = 5_000;
/** A machine that does much else is slow to say so. */
const SLACK_MS = 2_000;
const messages = [{ role: 'user', content: 'How deep is the lake?' }];

export interface Answer {
  /** 0: none came in time. */
  readonly status: number;
  /** The error's code; undefined for a success. */
  readonly code: string | undefined;
  readonly retryAfter: string | null;
  readonly ms: number;
  readonly body: string;
}

async function answerTo(url: string, request: RequestInit, longestMs: number): Promise<Answer> {
  const startedMs = performance.now();
  const ms = (): number => Math.round(performance.now() - startedMs);
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(longestMs) });
    const body = await response.text();
    const retryAfter = response.headers.get('retry-after');
    return { status: response.status, code: codeIn(body), retryAfter, ms: ms(), body };
  } catch {
    return { status: 0, code: undefined, retryAfter: null, ms: ms(), body: '' };
  }
}

function codeIn(body: string): string | undefined {
  const { error, code } = JSON.parse(body) as { readonly error?: { readonly code: string }; readonly code?: string };
  return error?.code ?? code;
}

type Tenant = keyof Doors['keys'];

const headersOf = ({ keys }: Doors, more: Readonly<Record<string, string>> = {}, tenant: Tenant = 'acme') => ({
  authorization: `Bearer ${keys[tenant]}`,
  'content-type': 'application/json',
  'x-beamline-timeout-ms': String(DEADLINE_MS),
  ...more,
});

/** One interactive request, whole. */
export const chat = (roles: Doors): Promise<Answer> =>
  answerTo(
    `${roles.url}/v1/chat/completions`,
    { method: 'POST', headers: headersOf(roles), body: JSON.stringify({ model: 'test-chat', messages }) },
    DEADLINE_MS + SLACK_MS,
  );

/** Orders one job of a model. */
export const order = (roles: Doors, key: string, filler = ''): Promise<Answer> =>
  orderTask(roles, key, { type: 'ai.chat', payload: { model: 'test-chat', messages, filler } });

export const orderTask = (roles: Doors, key: string, task: object, tenant?: Tenant): Promise<Answer> =>
  answerTo(
    `${roles.url}/api/v1/jobs`,
    {
      method: 'POST',
      headers: headersOf(roles, { 'idempotency-key': key }, tenant),
      body: JSON.stringify({ task }),
    },
    DEADLINE_MS + SLACK_MS,
  );

export const jobOf = (roles: Doors, id: string, tenant?: Tenant): Promise<Answer> =>
  answerTo(`${roles.url}/api/v1/jobs/${id}`, { headers: headersOf(roles, {}, tenant) }, DEADLINE_MS + SLACK_MS);

/** A question of who may decide; with a `body` it is posted. */
export const askedByApprover = (roles: Doors, path: string, body?: object): Promise<Answer> =>
  answerTo(
    `${roles.url}${path}`,
    {
      headers: { ...headersOf(roles), authorization: `Bearer ${roles.approverKey}` },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    },
    DEADLINE_MS + SLACK_MS,
  );

export const readiness = (roles: Doors): Promise<Answer> => answerTo(`${roles.url}/readyz`, {}, SLACK_MS);

/** Interactive requests, one every so often, however long the others take; `stop` resolves with all answers. */
export function startChats(roles: Doors, everyMs: number): { stop(): Promise<readonly Answer[]> } {
  const asked: Promise<Answer>[] = [];
  const stopping = new AbortController();
  const asking = (async () => {
    while (!stopping.signal.aborted) {
      asked.push(chat(roles));
      // eslint-disable-next-line no-await-in-loop -- the pace
      await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await asking;
      return Promise.all(asked);
    },
  };
}

/** Answers that a caller should never get from a broker that fails. */
export const oddAnswers = (answers: readonly Answer[]): readonly string[] =>
  answers
    .filter(({ status, code, retryAfter }) => {
      if (status === 503) return retryAfter === null;
      // A worker that was called and cannot be heard any more.
      if (status === 502) return code !== 'worker_lost';
      return status !== 200 && status !== 504;
    })
    .map(({ status, code, ms, body }) => `${status} ${code} after ${ms} ms: ${body.slice(0, 300)}`);
