// Processes that are killed at each point at which money or a promise is written (core/crash-point.ts, 13 to 20): the lease
// of a gateway, what it gives back, what the ledger settles, and the acceptance of a job. Afterwards the budget says what
// the provider saw, nothing is reserved, and a job that was ordered again is there once.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { generateApiKey, hashApiKey, prefixOf } from '../../src/auth/api-key.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { parseScript } from '../../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../../src/provider/simulated-server.ts';
import { startNatsServer } from '../nats-server.ts';
import { startBeamline, type TestProcess } from '../process.ts';
import { until } from '../until.ts';

const PEPPER = 'a pepper for tests, which guards nothing at all';
/** A hold of a dead gateway, a fold that has passed what was spent, and two rounds of those who hold it. */
const DRAINED_MS = 120_000;
const messages = [{ role: 'user', content: 'hello' }];
/** Of the lease for a request, then of what is given back. */
const LEASES = [13, 14, 15, 16] as const;
const SETTLING = [17, 18] as const;
const ACCEPTANCE = [19, 20] as const;
/** One for each point, so that none sees the money of another. */
const TENANTS: readonly string[] = [...LEASES, ...SETTLING, ...ACCEPTANCE].map((point) => `at-${point}`);

const opened = new AsyncDisposableStack();
const arrivals = new Map<string, number>();
const keys = Object.fromEntries(TENANTS.map((tenant) => [tenant, generateApiKey('test')]));
let start: (role: string, env?: Readonly<Record<string, string>>) => TestProcess;
let url: string;
let ledger: TestProcess;

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-budget-crash-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const timers = opened.use(new Timers(systemClock));
  const log = ({ body }: { body: unknown }): void => {
    const { user = '' } = body as { user?: string };
    arrivals.set(user, (arrivals.get(user) ?? 0) + 1);
  };
  const script = parseScript({ default: { output_tokens: 40 } });
  const server = opened.use(await startSimulatedServer({ host: '127.0.0.1', port: 0, script, timers, log }));
  const nats = opened.use(await startNatsServer());
  const config = writeConfig(folder, server.url);
  start = (role, env = {}) => {
    const address = role === 'gateway' ? ['--host', '127.0.0.1', '--port', '0'] : [];
    const args = [role, '--nats', nats.url, '--config', config, ...address];
    const started = startBeamline(args, { BEAMLINE_PEPPER: PEPPER, ...env });
    opened.defer(() => started.stop());
    return started;
  };
  ledger = await startLedger();
  await Promise.all(['worker', 'router'].map((role) => start(role).until(new RegExp(`${role}_ready`))));
  url = await addressOf(start('gateway'));
});
after(() => opened.disposeAsync());

async function startLedger(env: Readonly<Record<string, string>> = {}): Promise<TestProcess> {
  const started = start('ledger', env);
  await started.until(/ledger_ready/);
  return started;
}

const addressOf = async (gateway: TestProcess): Promise<string> =>
  (await gateway.until(/http:\/\/127\.0\.0\.1:\d+(?=")/))[0];

/** Resolves when the process has ended at its point; that is no fault of it. */
async function died(process: TestProcess): Promise<void> {
  await process.ended;
  await process.kill();
  assert.match(process.output(), /crash_point_set/);
}

function writeConfig(folder: string, baseUrl: string): string {
  const records = Object.entries(keys).map(([tenant, secret]) => ({
    id: `key_${tenant}`,
    name: tenant,
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants: [tenant],
    role: 'admin',
  }));
  const models = { 'test-chat': { price: { input: 1_000_000, output: 2_000_000 } } };
  const path = join(folder, 'beamline.yaml');
  writeFileSync(
    path,
    JSON.stringify({
      gateway: {
        auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: records },
        shutdown: { lame_duck_ms: 0 },
        tenants: TENANTS.map((id) => ({ id })),
      },
      router: { sweep_ms: 1_000 },
      worker: { heartbeat_ms: 500, data_dir: folder },
      ledger: { url: `sqlite:${join(folder, 'ledger.sqlite')}` },
      budgets: TENANTS.map((tenant) => ({ id: 'money', tenant, limit: 1_000_000, window: 'total' })),
      providers: { list: [{ id: 'alder', type: 'openai-compatible', base_url: baseUrl, models }] },
    }),
  );
  return path;
}

const headersOf = (tenant: string) => ({
  authorization: `Bearer ${keys[tenant]}`,
  'content-type': 'application/json',
  'x-beamline-timeout-ms': '3000',
});

/** Micro-USD of one request by the price and the provider's own count; undefined if nobody answered. */
async function asked(gateway: string, tenant: string): Promise<number | undefined> {
  const body = JSON.stringify({ model: 'test-chat', max_tokens: 40, messages, user: tenant });
  const request = { method: 'POST', headers: headersOf(tenant), body };
  const response = await fetch(`${gateway}/v1/chat/completions`, request).catch(() => undefined);
  if (response === undefined) return undefined;
  assert.equal(response.status, 200);
  const { usage } = (await response.json()) as { usage: { prompt_tokens: number; completion_tokens: number } };
  return usage.prompt_tokens + 2 * usage.completion_tokens;
}

async function read<T>(tenant: string, path: string): Promise<T> {
  return (await (await fetch(`${url}${path}`, { headers: headersOf(tenant) })).json()) as T;
}

/** Until nobody holds anything of the tenant, and so much is spent. */
const drained = (tenant: string, spent: number): Promise<unknown> =>
  until(
    `nothing reserved and ${spent} spent of ${tenant}`,
    async () => {
      const seen = await read<{ spent: number; reserved: number }>(tenant, '/api/v1/budgets/money');
      return seen.reserved === 0 && seen.spent === spent;
    },
    DRAINED_MS,
  );

test('a gateway that is killed around each lease that it writes leaves nothing reserved, and what it served is spent', async () => {
  const started: { readonly point: number; readonly doomed: TestProcess; readonly address: string }[] = [];
  for (const point of LEASES) {
    const doomed = start('gateway', { CRASH_AT: String(point) });
    // eslint-disable-next-line no-await-in-loop -- a start is work for the machine
    started.push({ point, doomed, address: await addressOf(doomed) });
  }
  await Promise.all(
    started.map(async ({ point, doomed, address }) => {
      const tenant = `at-${point}`;
      const first = await asked(address, tenant);
      // Nothing leaves before its lease is written; once it is, the answer comes and the rest is given back.
      assert.equal(first === undefined, point < 15, `point ${point}`);
      await died(doomed);
      assert.equal(arrivals.get(tenant) ?? 0, first === undefined ? 0 : 1);
      const second = await asked(url, tenant);
      assert.ok(second !== undefined);
      await drained(tenant, (first ?? 0) + second);
      assert.equal(arrivals.get(tenant), first === undefined ? 1 : 2);
    }),
  );
});

for (const point of SETTLING) {
  test(`a ledger that is killed at point ${point}, around what it settles, settles it once`, async () => {
    const tenant = `at-${point}`;
    await ledger.stop();
    const doomed = await startLedger({ CRASH_AT: String(point) });
    const first = await asked(url, tenant);
    await died(doomed);
    const second = await asked(url, tenant);
    ledger = await startLedger();
    await drained(tenant, (first ?? 0) + (second ?? 0));
    assert.equal(arrivals.get(tenant), 2);
  });
}

for (const point of ACCEPTANCE) {
  test(`a gateway that is killed at point ${point}, around the acceptance of a job: who orders again has one job`, async () => {
    const tenant = `at-${point}`;
    const doomed = start('gateway', { CRASH_AT: String(point) });
    const task = { type: 'ai.chat', payload: { model: 'test-chat', max_tokens: 40, messages, user: tenant } };
    const headers = { ...headersOf(tenant), 'idempotency-key': 'once' };
    const request = { method: 'POST', headers, body: JSON.stringify({ task }) };
    await assert.rejects(fetch(`${await addressOf(doomed)}/api/v1/jobs`, request));
    await died(doomed);
    const response = await fetch(`${url}/api/v1/jobs`, request);
    const { id } = (await response.json()) as { id: string };
    assert.deepEqual(
      [response.status, response.headers.get('idempotency-replayed')],
      [202, point === 20 ? 'true' : null],
    );
    await until(
      'its end',
      async () => (await read<{ status: string }>(tenant, `/api/v1/jobs/${id}`)).status === 'completed',
    );
    const { data } = await read<{ data: readonly object[] }>(tenant, '/api/v1/jobs');
    assert.deepEqual([data.length, arrivals.get(tenant)], [1, 1]);
    // What the dead gateway held stands until the job would have expired (gateway/jobs/budgeted-jobs.ts, J3).
    const cost = 2 * 40 + 1;
    await until(
      'its cost',
      async () => (await read<{ spent: number }>(tenant, '/api/v1/budgets/money')).spent >= cost,
      DRAINED_MS,
    );
  });
}
