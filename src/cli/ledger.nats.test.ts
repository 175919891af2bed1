// `beamline ledger reconcile` of an operator who reaches NATS and no database: the ledger answers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startNatsServer } from '../../test/nats-server.ts';
import { startBeamline } from '../../test/process.ts';
import { until } from '../../test/until.ts';
import { openNatsBus } from '../bus/nats.ts';
import { at } from '../contracts/contract.ts';
import { usageMetered } from '../contracts/usage.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { AT_MS, usageEvent } from '../ledger/ledger-fixture.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { askLedger } from './ledger-ask.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const PERIOD = ['--since', '2026-11-01', '--until', '2026-11-02'];
/** Two pages of costs, one row of each model. */
const MODELS = Array.from({ length: 310 }, (_, n) => `m-${n}`);

const opened = new AsyncDisposableStack();
after(() => opened.disposeAsync());
let url = '';
let folder = '';
before(async () => {
  const server = opened.use(await startNatsServer());
  ({ url } = server);
  folder = mkdtempSync(join(tmpdir(), 'beamline-ledger-nats-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'beamline.yaml');
  writeFileSync(config, JSON.stringify({ ledger: { url: `sqlite:${join(folder, 'ledger.sqlite')}` } }));
  const role = startBeamline(['ledger', '--nats', url, '--config', config]);
  opened.defer(() => role.stop());
  await role.until(/ledger_ready/);
  const timers = opened.use(new Timers(systemClock));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = opened.use(await openNatsBus({ url, name: 'test', timers, telemetry }));
  const correlation = { traceId: '-', tenantId: 'acme' };
  for (const model of MODELS) {
    const event = usageEvent({ assignment_id: model, model });
    await bus.append(at(usageMetered), event, { messageId: model, timeoutMs: 5_000, correlation });
  }
  const line = { bus, clock: systemClock, timeoutMs: 5_000 };
  await until(
    'the fold',
    async () => (await askLedger(line, 'reconcile', { since: AT_MS, until: AT_MS + 1 })).rows === 310,
  );
});

async function reconcile(...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, 'ledger', 'reconcile', ...args], { env: { BEAMLINE_NATS_URL: url } });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (text: Buffer) => (texts[name] += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, ...texts };
}

test('the ledger reads its rows, and gives what they cost page by page', async () => {
  const invoice = join(folder, 'invoice.csv');
  const lines = MODELS.map((model, n) => `2026-11-01,alder,${model},${n === 305 ? 44 : 4}`);
  writeFileSync(invoice, ['day,provider,model,cost_micro_usd', ...lines].join('\n'));
  const { status, stdout, stderr } = await reconcile(...PERIOD, '--invoice', invoice, '--json');
  assert.equal(status, 0, stderr);
  const found = JSON.parse(stdout) as Record<string, object>;
  assert.deepEqual([found['rows'], found['lost']], [310, 0]);
  assert.deepEqual(found['invoice_delta'], [
    {
      day: '2026-11-01',
      provider: 'alder',
      model: 'm-305',
      invoice_micro_usd: 44,
      ledger_micro_usd: 4,
      delta_micro_usd: 40,
    },
  ]);
  assert.deepEqual(found['checked'], { jobs: true, leases: true, truth: false, invoice: true });
});

test('the log of a provider needs the rows themselves: wrong usage, exit 64', async () => {
  const truth = join(folder, 'truth.ndjson');
  writeFileSync(truth, '');
  const { status, stderr } = await reconcile(...PERIOD, '--truth', truth);
  assert.equal(status, 64, stderr);
  assert.match(stderr, /--truth is held against a database/);
});
