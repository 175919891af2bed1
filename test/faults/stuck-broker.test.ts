// One server that stands still, and one that has no room: nothing is promised that is not stored, nothing that was stored
// is lost, nobody waits beyond a deadline, and all is well again without a hand.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { until } from '../until.ts';
import type { AcceptedLine } from './chaos/submitter.ts';
import { accounts } from './broker/accounts.ts';
import { type Answer, chat, jobOf, oddAnswers, order, readiness } from './broker/requests.ts';
import { type Roles, startRoles } from './broker/roles.ts';

const STOPPED_MS = 10_000;
const KEYS = 20;
const GROWTH_MAX_BYTES = 64 * 1_048_576;
const HEAL_MS = 40_000;
const DRAIN_MS = 60_000;

let folder: string;
let nats: NatsServer;
let roles: Roles;
const accepted: AcceptedLine[] = [];
const sinceMs = Date.now();
const opened = new AsyncDisposableStack();
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamline-stuck-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  nats = opened.use(await startNatsServer());
  roles = opened.use(await startRoles({ folder, natsUrl: nats.url, answerMs: 1_000 }));
});
after(() => opened.disposeAsync());

/** Memory of a process as the kernel counts it. */
function residentBytes(pid: number): number {
  const [, kib = '0'] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) * 1024;
}

/** Orders a job under each key; those that were accepted are remembered. */
async function orderAll(name: string, filler = ''): Promise<readonly Answer[]> {
  const answers = await Promise.all(Array.from({ length: KEYS }, (_, n) => order(roles, `${name}-${n}`, filler)));
  for (const [n, { status, body }] of answers.entries()) {
    if (status !== 202) continue;
    const { id } = JSON.parse(body) as { readonly id: string };
    if (!accepted.some((line) => line.id === id)) accepted.push({ tenant: 'acme', key: `${name}-${n}`, id });
  }
  return answers;
}

const isReady = async (): Promise<boolean> => (await readiness(roles)).status === 200;
const works = async (): Promise<boolean> => (await isReady()) && (await chat(roles)).status === 200;

test('a server that stands still: every caller is answered by the deadline, memory stays, and all goes on afterwards', async () => {
  assert.deepEqual(
    (await orderAll('before')).filter(({ status }) => status !== 202),
    [],
  );
  const { pid } = roles.processes.gateway;
  const bytes = residentBytes(pid);
  nats.freeze();
  const thawed = sleep(STOPPED_MS).then(() => nats.thaw());
  const filler = 'x'.repeat(100_000);
  const during = [orderAll('during', filler), orderAll('more', filler), Promise.all([chat(roles), chat(roles)])];
  await until('the gateway to say so', async () => !(await isReady()));
  const answers = (await Promise.all(during)).flat();
  assert.deepEqual(oddAnswers(answers), []);
  assert.deepEqual(
    answers.filter(({ status }) => status < 500),
    [],
  );
  await thawed;
  const growth = residentBytes(pid) - bytes;
  assert.ok(growth < GROWTH_MAX_BYTES, `${growth} bytes more`);
  await until('the gateway to be well', works, HEAL_MS);
  // The same keys: what the router heard after all is the same job.
  const again = [...(await orderAll('during', filler)), ...(await orderAll('more', filler))];
  assert.deepEqual(
    again.filter(({ status }) => status !== 202),
    [],
  );
});

const signalAll = (signal: 'SIGSTOP' | 'SIGCONT'): void => {
  for (const { pid } of Object.values(roles.processes)) process.kill(pid, signal);
};

/**
 * Leaves no room in any stream; gives back how much each may hold. Everybody stands still meanwhile: a stream that is
 * given less than it holds by then would drop its oldest messages.
 */
async function fill(): Promise<() => Promise<void>> {
  signalAll('SIGSTOP');
  using _ = { [Symbol.dispose]: () => signalAll('SIGCONT') };
  await using nc = await connect({ servers: nats.url });
  const { streams } = await jetstreamManager(nc);
  const were = new Map<string, number>();
  for (const { config, state } of await streams.list().next()) {
    were.set(config.name, config.max_bytes);
    // Presence comes and goes, which would leave room.
    const max_bytes = config.name.endsWith('presence') ? 1 : state.bytes + 1;
    // eslint-disable-next-line no-await-in-loop -- as above
    await streams.update(config.name, { max_bytes });
  }
  return async () => {
    await using again = await connect({ servers: nats.url });
    const manager = await jetstreamManager(again);
    for (const [name, max_bytes] of were) {
      // eslint-disable-next-line no-await-in-loop -- one after the other
      await manager.streams.update(name, { max_bytes });
    }
  };
}

test('a server without room: no job is accepted, what runs ends once, and all goes on when there is room', async () => {
  const running = await orderAll('running');
  assert.deepEqual(
    running.filter(({ status }) => status !== 202),
    [],
  );
  const makeRoom = await fill();
  const full = await orderAll('full');
  for (const { status, code, retryAfter, ms } of full) {
    assert.deepEqual([status, code], [503, 'unavailable']);
    assert.match(retryAfter ?? '', /^\d+$/);
    assert.ok(ms < 5_000, `${ms} ms`);
  }
  await until('the gateway to say so', async () => !(await isReady()));
  // Long enough for what runs to end, and for its results to find no room.
  await sleep(3_000);
  await makeRoom();
  await until('the gateway to be well', works, HEAL_MS);
  assert.deepEqual(
    (await orderAll('full')).filter(({ status }) => status !== 202),
    [],
  );
  const { ended, wrong } = await accounts(roles, { natsUrl: nats.url, accepted, sinceMs, drainMs: DRAIN_MS });
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    ended.filter(({ status }) => status !== 'completed'),
    [],
  );
  assert.equal(accepted.length, 5 * KEYS);
  assert.equal((await jobOf(roles, accepted[0]?.id ?? '')).status, 200);
});
