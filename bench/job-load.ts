// The load of the benchmark of durable work: orders over keep-alive connections, and looks at what became of them.
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { JobSite } from './job-site.ts';

export interface OfferedJob {
  readonly tenant: string;
  readonly id: string;
}

export interface EndedJob {
  readonly status: string;
  /** From the acceptance to the end, as the record says. */
  readonly tookMs: number;
}

const agent = new Agent({ connections: 128, pipelining: 1 });
const BODY = JSON.stringify({
  task: { type: 'ai.chat', payload: { model: 'test-chat', messages: [{ role: 'user', content: 'How deep is it?' }] } },
});
const ENDS = new Set(['completed', 'failed', 'cancelled', 'expired']);
const LOOK_MS = 20;
const LONG_MS = 120_000;
let orders = 0;

/** As fast as so many connections can. */
export async function submitAll(
  site: JobSite,
  tenant: string,
  count: number,
  connections: number,
): Promise<readonly OfferedJob[]> {
  const jobs: OfferedJob[] = [];
  let left = count;
  const one = async (): Promise<void> => {
    // eslint-disable-next-line no-await-in-loop -- a closed loop
    while (left-- > 0) jobs.push(await submit(site, tenant));
  };
  await Promise.all(Array.from({ length: connections }, one));
  return jobs;
}

/** At a pace, whatever the answers do. */
export async function offer(
  site: JobSite,
  tenant: string,
  perSecond: number,
  seconds: number,
): Promise<readonly OfferedJob[]> {
  const startMs = performance.now();
  const jobs: Promise<OfferedJob>[] = [];
  for (let n = 0; n < perSecond * seconds; n++) {
    const waitMs = startMs + (n * 1000) / perSecond - performance.now();
    // eslint-disable-next-line no-await-in-loop -- the pace
    if (waitMs > 1) await sleep(waitMs);
    jobs.push(submit(site, tenant));
  }
  return Promise.all(jobs);
}

async function submit(site: JobSite, tenant: string): Promise<OfferedJob> {
  const headers = {
    authorization: `Bearer ${site.keys[tenant]}`,
    'content-type': 'application/json',
    'idempotency-key': `bench-${orders++}`,
  };
  const { statusCode, body } = await request(`${site.url}/api/v1/jobs`, {
    method: 'POST',
    headers,
    body: BODY,
    dispatcher: agent,
  });
  const text = await body.text();
  if (statusCode !== 202) throw new Error(`an order was answered ${statusCode}: ${text.slice(0, 300)}`);
  return { tenant, id: (JSON.parse(text) as { id: string }).id };
}

/** Waits for the end of each, eight at a time. */
export async function endedJobs(site: JobSite, jobs: readonly OfferedJob[]): Promise<readonly EndedJob[]> {
  const left = jobs[Symbol.iterator]();
  const ended: EndedJob[] = [];
  const one = async (): Promise<void> => {
    // eslint-disable-next-line no-await-in-loop -- each takes the next one
    for (const job of left) ended.push(await endedJob(site, job));
  };
  await Promise.all(Array.from({ length: 8 }, one));
  return ended;
}

interface Shown {
  readonly status: string;
  readonly created_at: string;
  readonly ended_at: string;
}

async function endedJob(site: JobSite, { tenant, id }: OfferedJob): Promise<EndedJob> {
  const headers = { authorization: `Bearer ${site.keys[tenant]}` };
  const untilMs = performance.now() + LONG_MS;
  for (;;) {
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    const { body } = await request(`${site.url}/api/v1/jobs/${id}`, { headers, dispatcher: agent });
    // eslint-disable-next-line no-await-in-loop -- as above
    const shown = (await body.json()) as Shown;
    if (ENDS.has(shown.status)) {
      return { status: shown.status, tookMs: Date.parse(shown.ended_at) - Date.parse(shown.created_at) };
    }
    if (performance.now() > untilMs) throw new Error(`${id} is still ${shown.status}`);
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(LOOK_MS);
  }
}
