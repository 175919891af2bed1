// Work that comes late, or twice, or under the name of somebody else's, or that nobody can do: roles in processes of their
// own on a real nats-server. Each attempt is counted once, each job ends once, and what cannot be done is kept.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, type Msg, nanos, type NatsConnection } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { until } from '../until.ts';
import { accounts } from './broker/accounts.ts';
import { jobOf, orderTask, readiness } from './broker/requests.ts';
import { type Roles, startRoles } from './broker/roles.ts';
import type { AcceptedLine } from './chaos/submitter.ts';

const ANSWER_MS = 1_500;
/** A pull of a worker waits ten seconds at the server. */
const PULL_MS = 30_000;
const ENDS_MS = 40_000;
const RESULTS = 'caf.exec.result.v1';
const USAGE = 'beamline.usage.v1.metered';
const ASSIGNMENTS = 'caf.exec.assign.v1';
const CHAT = { type: 'ai.chat', payload: { model: 'test-chat', messages: [{ role: 'user', content: 'How deep?' }] } };
const sleepy = (ms: number) => ({ type: 'test.sleep', payload: { sleep_ms: ms } });

const opened = new AsyncDisposableStack();
const sinceMs = Date.now();
const accepted: AcceptedLine[] = [];
const heard: Msg[] = [];
let folder: string;
let nats: NatsServer;
let roles: Roles;
let nc: NatsConnection;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamline-counted-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  nats = opened.use(await startNatsServer());
  roles = opened.use(await startRoles({ folder, natsUrl: nats.url, answerMs: ANSWER_MS }));
  nc = await connect({ servers: nats.url });
  opened.defer(() => nc.close());
  for (const subject of [RESULTS, USAGE]) {
    nc.subscribe(subject, { callback: (_, message) => void heard.push(message) });
  }
});
after(() => opened.disposeAsync());

interface Shown {
  readonly status: string;
  readonly attempts: readonly { readonly status: string }[];
}

async function ordered(key: string, task: object, tenant: AcceptedLine['tenant'] = 'acme'): Promise<AcceptedLine> {
  const { status, body } = await orderTask(roles, key, task, tenant);
  assert.equal(status, 202, body);
  const { id } = JSON.parse(body) as { readonly id: string };
  const line = { tenant, key, id };
  accepted.push(line);
  return line;
}

const shown = async ({ id, tenant }: AcceptedLine): Promise<Shown> =>
  JSON.parse((await jobOf(roles, id, tenant)).body) as Shown;

const ended = (job: AcceptedLine): Promise<Shown> =>
  until(
    `the end of ${job.key}`,
    async () => {
      const state = await shown(job);
      return ['completed', 'failed', 'cancelled', 'expired'].includes(state.status) && state;
    },
    ENDS_MS,
  );

interface Row {
  readonly id: string;
  readonly attempt: number;
  readonly estimated: number;
}

/** Rows of the ledger, corrections included. */
function rows(): readonly Row[] {
  using database = new DatabaseSync(join(folder, 'ledger.sqlite'), { readOnly: true });
  const found = database.prepare('SELECT usage_id AS id, attempt, estimated FROM usage_events ORDER BY usage_id').all();
  return found.map(({ id, attempt, estimated }) => ({
    id: String(id),
    attempt: Number(attempt),
    estimated: Number(estimated),
  }));
}

const idOf = (message: Msg): string => message.headers?.get('Nats-Msg-Id') ?? '';

/** Attempts with an effect that somebody began. */
async function begun(): Promise<number> {
  const { streams } = await jetstreamManager(nc);
  const { state } = await streams.info('KV_beamline_attempts', { subjects_filter: '$KV.beamline_attempts.acme.>' });
  return Object.keys(state.subjects ?? {}).length;
}

/** A server that starts knows the ids of what it still stores; everything is read by now. Resolves when the roles have found it again. */
async function forgetIds(): Promise<void> {
  const { streams } = await jetstreamManager(nc);
  await streams.purge('BEAMLINE_USAGE');
  await nats.terminate();
  await nats.restart();
  const isBack = async (): Promise<boolean> =>
    (await readiness(roles)).status === 200 &&
    (await streams.info('BEAMLINE_USAGE').catch(() => undefined)) !== undefined;
  await until('all to be connected again', isBack);
}

async function publish(subject: string, message: object | string, id: string, tenant = '-'): Promise<void> {
  const sent = headers();
  for (const [name, value] of [
    ['Nats-Msg-Id', id],
    ['x_msg_id', id],
    ['x_tenant_id', tenant],
    ['x_trace_id', '-'],
    ['x_contract_version', 'v1'],
  ] as const) {
    sent.set(name, value);
  }
  await jetstream(nc).publish(subject, typeof message === 'string' ? message : JSON.stringify(message), {
    headers: sent,
  });
}

interface Letter {
  readonly original_subject: string;
  readonly payload: string;
}

const decoded = (base64: string): string => Buffer.from(base64, 'base64').toString();

async function letters(): Promise<readonly Letter[]> {
  const { streams } = await jetstreamManager(nc);
  const { state } = await streams.info('BEAMLINE_DLQ');
  const found = Array.from({ length: state.messages }, (_, n) =>
    streams.getMessage('BEAMLINE_DLQ', { seq: state.first_seq + n }),
  );
  return (await Promise.all(found)).flatMap((one) => (one === null ? [] : [one.json<Letter>()]));
}

/** What a process holds that will not speak again is given out anew, once the server asks it for nothing more. */
async function loseDeliveries(): Promise<void> {
  const { consumers } = await jetstreamManager(nc);
  const isForgotten = async (): Promise<boolean> =>
    (await consumers.info('CAF_ASSIGN', 'caf-workers')).num_waiting === 0;
  await until('the pull of the process to be over', isForgotten, PULL_MS);
  await consumers.update('CAF_ASSIGN', 'caf-workers', { ack_wait: nanos(50) });
}

const settled = () => accounts(roles, { natsUrl: nats.url, accepted, sinceMs, drainMs: ENDS_MS });

test('a worker that slept through its ack wait says its results late: each attempt has one, and each job ends once', async () => {
  const sleeper = roles.processes.worker;
  const asked = await ordered('late-model', CHAT);
  const local = await ordered('late-local', sleepy(ANSWER_MS));
  await until('both to run there', async () => (await begun()) === 1 && (await shown(local)).status === 'processing');
  process.kill(sleeper.pid, 'SIGSTOP');
  await loseDeliveries();
  const other = roles.start('worker', { BEAMLINE_WORKER_DATA_DIR: join(folder, 'other-worker') });
  await other.until(/worker_ready/);
  const [model, block] = await Promise.all([ended(asked), ended(local)]);
  const before = heard.length;
  process.kill(sleeper.pid, 'SIGCONT');
  const late = (): readonly string[] =>
    heard.slice(before).flatMap((one) => (one.subject === RESULTS ? [idOf(one)] : []));
  await until('its two results', () => late().length >= 2);
  await sleeper.stop();
  assert.deepEqual([model.status, model.attempts.map(({ status }) => status)], ['completed', ['failed', 'succeeded']]);
  assert.deepEqual([block.status, block.attempts.map(({ status }) => status)], ['completed', ['succeeded']]);
  assert.deepEqual((await settled()).wrong, []);
  // The lost attempt is billed as an estimate, which its late result corrects, the next one as measured, and the block
  // costs nothing.
  assert.deepEqual(
    rows().map(({ attempt, estimated }) => [attempt, estimated]),
    [
      [1, 1],
      [1, 0],
      [2, 0],
    ],
  );
  assert.deepEqual([await shown(asked), await shown(local)], [model, block]);
});

test('results and usage that are published again after the window of the server are counted once', async () => {
  const before = rows();
  // Of an id that came twice the later one: what the sleeper said of an attempt that was over.
  const last = new Map(heard.map((one) => [idOf(one), one]));
  assert.equal(last.size, 7, 'four results, of which three are billed');
  await forgetIds();
  // Usage first: of a result a router makes its event again.
  const sent = [...last.values()].toSorted((a, b) => (a.subject < b.subject ? -1 : 1));
  for (const { subject, data, headers: named } of sent) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    const { duplicate } = await jetstream(nc).publish(subject, data, named === undefined ? {} : { headers: named });
    assert.equal(duplicate, false);
  }
  assert.deepEqual((await settled()).wrong, []);
  assert.deepEqual(rows(), before);
});

test('what two tenants call by the same names is two things: both end, and both are billed', async () => {
  const before = heard.length;
  const jobs = await Promise.all((['acme', 'globex'] as const).map((tenant) => ordered('the-same', CHAT, tenant)));
  const ends = await Promise.all(jobs.map((job) => ended(job)));
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['completed', 'completed'],
  );
  assert.deepEqual((await settled()).wrong, []);
  const told = heard.slice(before);
  // A stream takes a message id once, whoever sends it.
  for (const subject of [RESULTS, USAGE]) {
    assert.equal(new Set(told.filter((one) => one.subject === subject).map((one) => idOf(one))).size, 2, subject);
  }
  // A worker of somebody else's names its work as it likes: the tenant is part of every name of ours.
  const result = {
    assignment_id: 'one-name',
    request_id: 'one-name',
    attempt: 1,
    status: 'success',
    provider_id: 'worker',
  };
  for (const tenant of ['acme', 'globex']) {
    const usage = { model: 'test-chat', input_tokens: 1, output_tokens: 1, cost_micro_usd: 3 };
    // eslint-disable-next-line no-await-in-loop -- two of them
    await publish(RESULTS, { ...result, tenant_id: tenant, usage }, `res:${tenant}:one-name:1`, tenant);
  }
  const both = (): readonly string[] => rows().flatMap(({ id }) => (id.includes('one-name') ? [id] : []));
  await until('both rows', () => both().length === 2);
  assert.deepEqual(both(), ['acme:one-name:1', 'globex:one-name:1']);
});

test('what nobody can read is kept whole among the dead letters, and holds up nobody', async () => {
  const unreadable = '{"neither": "an order", nor: JSON';
  for (const subject of [ASSIGNMENTS, RESULTS, USAGE]) {
    // eslint-disable-next-line no-await-in-loop -- three of them
    await publish(subject, unreadable, `unreadable:${subject}`);
  }
  const job = await ordered('after-poison', CHAT);
  assert.equal((await ended(job)).status, 'completed');
  const kept = await until('three letters', async () => {
    const all = await letters();
    return all.length >= 3 && all;
  });
  assert.deepEqual(
    kept.map(({ original_subject: subject }) => subject).toSorted(),
    [ASSIGNMENTS, RESULTS, USAGE].toSorted(),
  );
  assert.deepEqual(new Set(kept.map(({ payload }) => decoded(payload))), new Set([unreadable]));
  assert.deepEqual((await settled()).wrong, []);
});
