// Budgets over four gateways, two routers with those of a policy and of a provider, and one ledger, each a process of its own on a real
// nats-server: nothing is spent beyond a limit, whoever is killed, and nothing stays reserved when the work is done.
// What was spent is what the provider saw.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
const GATEWAYS = 4;
/** A fold that has passed what was spent by five seconds, and two rounds of those who hold it. */
const DRAINED_MS = 120_000;
/** Forty tokens at 2 and the input at 1 micro-USD. */
const BODY = { model: 'test-chat', max_tokens: 40, messages: [{ role: 'user', content: 'hello' }] };
/** One tenant for each test, so that none sees the money of another. */
const BUDGETS = { edge: 3_000, routed: 1_000_000, provided: 1_000_000, away: 1_000_000, dead: 1_000_000 } as const;
type Tenant = keyof typeof BUDGETS;
const OF_ALDER = { id: 'of-alder', scope: 'provider', subject: 'alder', window: 'total' };

const opened = new AsyncDisposableStack();
const arrivals = new Map<string, number>();
let keys: Readonly<Record<Tenant, string>>;
let gateways: readonly { readonly url: string; readonly process: TestProcess }[] = [];
let ledger: TestProcess;
let router: TestProcess;
let startLedger: () => Promise<TestProcess>;

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-budgets-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const timers = opened.use(new Timers(systemClock));
  const script = parseScript({ 'test-chat': { output_tokens: 40 }, 'test-silent': { first_chunk_ms: 60_000 } });
  const server = opened.use(
    await startSimulatedServer({
      host: '127.0.0.1',
      port: 0,
      script,
      timers,
      log: ({ body }) => {
        const { user = '' } = body as { user?: string };
        arrivals.set(user, (arrivals.get(user) ?? 0) + 1);
      },
    }),
  );
  const nats = opened.use(await startNatsServer());
  keys = Object.fromEntries(Object.keys(BUDGETS).map((tenant) => [tenant, generateApiKey('test')])) as typeof keys;
  const config = writeConfig(folder, server.url);
  const start = (role: string, more: readonly string[] = []): TestProcess => {
    const args = [role, '--nats', nats.url, '--config', config, ...more];
    const started = startBeamline(args, { BEAMLINE_PEPPER: PEPPER });
    opened.defer(() => started.stop());
    return started;
  };
  startLedger = async () => {
    const started = start('ledger');
    await started.until(/ledger_ready/);
    return started;
  };
  ledger = await startLedger();
  const [, , second = assert.fail()] = await Promise.all(
    ['worker', 'router', 'router'].map(async (role) => {
      const started = start(role);
      await started.until(new RegExp(`${role}_ready`));
      return started;
    }),
  );
  router = second;
  gateways = await Promise.all(
    Array.from({ length: GATEWAYS }, async () => {
      const process = start('gateway', ['--host', '127.0.0.1', '--port', '0']);
      const [url] = await process.until(/http:\/\/127\.0\.0\.1:\d+/);
      return { url, process };
    }),
  );
});
after(() => opened.disposeAsync());

function writeConfig(folder: string, baseUrl: string): string {
  const records = Object.entries(keys).map(([tenant, secret]) => ({
    id: `key_${tenant}`,
    name: tenant,
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants: [tenant],
    role: 'admin',
  }));
  const policies = join(folder, 'policies', 'routed');
  mkdirSync(policies, { recursive: true });
  writeFileSync(
    join(policies, 'thrifty.yaml'),
    [
      'version: "2.0"',
      'providers: [{ name: alder, weight: 1 }]',
      'budgets: [{ id: all, limit_micro_usd: 3000, window: total }]',
    ].join('\n'),
  );
  const price = { input: 1_000_000, output: 2_000_000 };
  const path = join(folder, 'beamline.yaml');
  writeFileSync(
    path,
    JSON.stringify({
      gateway: {
        auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: records },
        shutdown: { lame_duck_ms: 0, timeout_ms: 10_000 },
        tenants: Object.keys(BUDGETS).map((id) => ({ id })),
      },
      policy: { dir: join(folder, 'policies') },
      worker: { heartbeat_ms: 500, shutdown: { timeout_ms: 5_000 } },
      ledger: { url: `sqlite:${join(folder, 'ledger.sqlite')}` },
      budgets: [
        ...Object.entries(BUDGETS).map(([tenant, limit]) => ({ id: 'money', tenant, limit, window: 'total' })),
        { ...OF_ALDER, tenant: 'provided', limit: 3_000 },
        { ...OF_ALDER, tenant: 'dead', limit: 1_000_000 },
      ],
      providers: {
        list: [
          {
            id: 'alder',
            type: 'openai-compatible',
            base_url: baseUrl,
            models: { 'test-chat': { price }, 'test-silent': { price } },
          },
        ],
      },
    }),
  );
  return path;
}

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  /** Micro-USD by the price and the provider's own count. */
  readonly cost: number;
}

async function ask(tenant: Tenant, n: number, more: object = {}, headers: object = {}): Promise<Answer> {
  const response = await fetch(`${gateways[n % gateways.length]?.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${keys[tenant]}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ ...BODY, user: tenant, ...more }),
  });
  const { usage, error } = (await response.json()) as {
    usage?: { prompt_tokens: number; completion_tokens: number };
    error?: { code: string };
  };
  const cost = usage === undefined ? 0 : usage.prompt_tokens + 2 * usage.completion_tokens;
  return { status: response.status, code: error?.code, cost };
}

const many = (tenant: Tenant, count: number, more: object = {}, headers: object = {}): Promise<readonly Answer[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => ask(tenant, n, more, headers)));

const spentBy = (answers: readonly Answer[]): number => answers.reduce((sum, { cost }) => sum + cost, 0);

interface Shown {
  readonly spent: number;
  readonly reserved: number;
}

async function budgetOf(tenant: Tenant, id = 'money'): Promise<Shown> {
  const headers = { authorization: `Bearer ${keys[tenant]}` };
  return (await (await fetch(`${gateways[0]?.url}/api/v1/budgets/${id}`, { headers })).json()) as Shown;
}

/** Until nobody holds anything; what is spent then. */
const drained = (tenant: Tenant, spent?: number, id?: string): Promise<unknown> =>
  until(
    `nothing reserved and ${spent ?? 'anything'} spent of ${tenant}`,
    async () => {
      const seen = await budgetOf(tenant, id);
      return seen.reserved === 0 && seen.spent === (spent ?? seen.spent);
    },
    DRAINED_MS,
  );

/** Some are served and some refused, at most the limit is spent, and the ledger agrees with the provider. */
async function assertEdge(tenant: Tenant, limit: number, headers: object): Promise<void> {
  const answers = await many(tenant, 200, {}, headers);
  const served = answers.filter(({ status }) => status === 200);
  const refused = answers.filter(({ status }) => status === 429);
  assert.deepEqual(
    answers.filter(({ status, code }) => status !== 200 && code !== 'insufficient_quota'),
    [],
  );
  assert.equal(served.length, arrivals.get(tenant), 'what was refused never reached the provider');
  const spent = spentBy(served);
  assert.ok(spent <= limit, `${spent} spent of ${limit}`);
  // The rest is less than what the holders keep ahead of need: at most a sixteenth each, and one request more.
  assert.ok(spent >= limit / 2, `${spent} spent of ${limit}`);
  assert.ok(refused.length > 0);
  await drained(tenant, spent);
}

test('two hundred at once at the edge, through four gateways', () => assertEdge('edge', BUDGETS.edge, {}));

test('two hundred at once at the edge of the budget of a policy', () =>
  assertEdge('routed', 3_000, { 'x-beamline-policy': 'thrifty' }));

test('two hundred at once at the edge of the budget of a provider', async () => {
  await assertEdge('provided', 3_000, {});
  await drained('provided', (await budgetOf('provided')).spent, OF_ALDER.id);
});

test('while the ledger is dead leases are given and nothing is let go; when it is back it settles what was spent', async () => {
  const before = spentBy(await many('away', 8));
  await drained('away', before);
  await ledger.kill();
  const during = await many('away', 40);
  assert.deepEqual(new Set(during.map(({ status }) => status)), new Set([200]));
  const seen = await budgetOf('away');
  assert.equal(seen.spent, before);
  assert.ok(seen.reserved >= spentBy(during), `${seen.reserved} reserved, ${spentBy(during)} spent`);
  ledger = await startLedger();
  await drained('away', before + spentBy(during));
});

test('what a gateway and a router held when they were killed is free when its requests would have ended', async () => {
  const last = gateways.at(-1);
  assert.ok(last);
  const headers = { 'x-beamline-timeout-ms': '4000' };
  const held = Array.from({ length: 5 }, () =>
    ask('dead', GATEWAYS - 1, { model: 'test-silent' }, headers).catch(() => undefined),
  );
  await until('the requests to arrive', () => arrivals.get('dead') === 5);
  assert.ok((await budgetOf('dead', OF_ALDER.id)).reserved > 0);
  await Promise.all([last.process.kill(), router.kill()]);
  gateways = gateways.slice(0, -1);
  await Promise.all(held);
  assert.ok((await budgetOf('dead')).reserved > 0);
  await drained('dead');
  await drained('dead', undefined, OF_ALDER.id);
});
