// Waits until nothing is under way any more: every accepted job has ended, and the streams have no reader who owes
// something. Then says of each job how it ended, as its own events tell it.
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fleet } from './fleet.ts';
import { type AcceptedLine, answered } from './submitter.ts';

const ENDS: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled', 'expired']);
const AT_ONCE = 16;
const LOOK_MS = 250;
const SETTLED_MS = 2_000;
const TROUBLE_MS = 30_000;
const CONSUMERS = [
  ['CAF_ASSIGN', 'caf-workers'],
  ['CAF_RESULT', 'router-results'],
  ['BEAMLINE_USAGE', 'ledger-usage'],
] as const;

export interface Ended {
  readonly status: string;
  readonly code: string | undefined;
  readonly attempts: number;
}

export interface Drained {
  readonly ended: readonly Ended[];
  /** Deliveries that the server counts as held, and that nobody has. */
  readonly stale: number;
  readonly faults: readonly string[];
}

export interface DrainOptions {
  readonly fleet: Fleet;
  readonly accepted: readonly AcceptedLine[];
  readonly longestMs: number;
  /** Shorter than what is shipped, so that a test need not wait half a minute for what a dead process held. */
  readonly ackWaitMs: number | undefined;
}

export async function drain({ fleet, accepted, longestMs, ackWaitMs }: DrainOptions): Promise<Drained> {
  const untilMs = performance.now() + longestMs;
  const faults: string[] = [];
  const ended: Ended[] = [];
  const { natsUrl } = fleet;
  if (ackWaitMs !== undefined && natsUrl !== undefined) await loseDeliveries(natsUrl, ackWaitMs);
  await inParallel(accepted, async (job) => {
    const end = await endOf(fleet, job, untilMs);
    if (typeof end === 'string') faults.push(`${job.id} of ${job.tenant} (${job.key}) has not ended: ${end}`);
    else ended.push(end);
  });
  await inParallel(accepted, async (job) => {
    const ends = await endsTold(fleet, job);
    if (ends !== 1) faults.push(`${job.id} of ${job.tenant} (${job.key}) tells of ${ends} ends`);
  });
  const stale = natsUrl === undefined ? 0 : await readersAreDone(natsUrl, performance.now() + longestMs);
  if (stale === undefined) faults.push('a stream has something that nobody has read');
  return { ended, stale: stale ?? 0, faults };
}

interface Shown {
  readonly status: string;
  readonly error: { readonly code: string } | null;
  readonly attempts: readonly unknown[];
}

/** How it ended, or what was last told of it. */
async function endOf(fleet: Fleet, job: AcceptedLine, untilMs: number): Promise<Ended | string> {
  for (;;) {
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    const { status, text } = await read(fleet, job, '');
    const shown = status === 200 ? (JSON.parse(text) as Shown) : undefined;
    if (shown !== undefined && ENDS.has(shown.status)) {
      return { status: shown.status, code: shown.error?.code, attempts: shown.attempts.length };
    }
    if (performance.now() > untilMs) return shown === undefined ? `answered ${status}` : shown.status;
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(LOOK_MS);
  }
}

/** Terminal events and terminal words among the changes of the job. */
async function endsTold(fleet: Fleet, job: AcceptedLine): Promise<number> {
  const { text } = await read(fleet, job, '/events');
  const events = text.split('\n\n').filter((event) => /^id: /m.test(event));
  return events.filter((event) => {
    const data = /^data: (.*)$/m.exec(event)?.[1] ?? '{}';
    return ENDS.has((JSON.parse(data) as { readonly status?: string }).status ?? '');
  }).length;
}

const read = ({ url, keys }: Fleet, { id, tenant }: AcceptedLine, more: string) =>
  answered(`${url}/api/v1/jobs/${id}${more}`, { headers: { authorization: `Bearer ${keys[tenant]}` } });

async function loseDeliveries(natsUrl: string, ackWaitMs: number): Promise<void> {
  await using nc = await connect({ servers: natsUrl });
  const { consumers } = await jetstreamManager(nc);
  for (const [stream, durable] of CONSUMERS) {
    // eslint-disable-next-line no-await-in-loop -- three of them
    await afterTrouble(() => consumers.update(stream, durable, { ack_wait: ackWaitMs * 1_000_000 }));
  }
}

/** Asks again while a server that has just started answers that it cannot tell yet. */
async function afterTrouble<T>(ask: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + TROUBLE_MS;
  for (;;) {
    try {
      // eslint-disable-next-line no-await-in-loop -- one try after the other
      return await ask();
    } catch (fault) {
      if (!(fault instanceof JetStreamApiError) || performance.now() > untilMs) throw fault;
    }
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(LOOK_MS);
  }
}

/**
 * Resolves with the deliveries that no reader has and that the server does not give out again, or with undefined if readers
 * still owed something at the end. A server of 2.9 that was killed may count a delivery whose acknowledgement it has stored
 * in one of its files and lost in another: what the jobs and the ledger say decides whether anything is missing.
 */
async function readersAreDone(natsUrl: string, untilMs: number): Promise<number | undefined> {
  await using nc = await connect({ servers: natsUrl });
  const { consumers } = await jetstreamManager(nc);
  let seen = '';
  let sinceMs = performance.now();
  for (;;) {
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    const infos = await afterTrouble(() =>
      Promise.all(CONSUMERS.map(([stream, durable]) => consumers.info(stream, durable))),
    );
    const held = infos.reduce((sum, { num_ack_pending: count }) => sum + count, 0);
    const isRead = infos.every(({ num_pending: count }) => count === 0);
    if (isRead && held === 0) return 0;
    const now = JSON.stringify(infos.map(({ delivered, num_ack_pending: count }) => [delivered.consumer_seq, count]));
    if (now !== seen) sinceMs = performance.now();
    seen = now;
    const ackWaitMs = Math.max(...infos.map(({ config }) => (config.ack_wait ?? 0) / 1_000_000));
    if (isRead && performance.now() - sinceMs > 2 * ackWaitMs + SETTLED_MS) return held;
    if (performance.now() > untilMs) return undefined;
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(LOOK_MS);
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items[Symbol.iterator]();
  const one = async (): Promise<void> => {
    for (const item of left) {
      // eslint-disable-next-line no-await-in-loop -- each takes the next one
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}
