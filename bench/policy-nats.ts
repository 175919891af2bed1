// Decisions over a real nats-server: one router, and requests that are due at even moments, whether or not earlier ones are answered.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { openNatsBus } from '../src/bus/nats.ts';
import { at } from '../src/contracts/contract.ts';
import { decideV2 } from '../src/contracts/decide.ts';
import { systemClock } from '../src/core/clock.ts';
import { Timers } from '../src/core/timers.ts';
import { openLog } from '../src/telemetry/log.ts';
import { Metrics } from '../src/telemetry/metrics.ts';
import { startNatsServer } from '../test/nats-server.ts';
import { until } from '../test/until.ts';
import { startLaunched } from './launched.ts';
import { fullDocument } from './policy-documents.ts';
import type { Figures } from './policy-figures.ts';
import { percentile } from './statistics.ts';

const RATE = 1_000;
const WARM_UP_S = 15;
const SECONDS = 10;
const REQUEST = {
  version: '2' as const,
  tenant_id: 'acme',
  policy_id: 'main',
  task: { type: 'ai.chat', payload: { model: 'medium', temperature: 0.2 } },
  context: { session_id: 's-1' },
};

export async function measureNats(): Promise<Figures> {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-bench-decide-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'policies', 'acme'), { recursive: true });
  writeFileSync(join(folder, 'policies', 'acme', 'main.json'), JSON.stringify(fullDocument(10)));
  const config = join(folder, 'beamline.json');
  writeFileSync(
    config,
    JSON.stringify({
      gateway: { tenants: [{ id: 'acme', tier: 'gold' }] },
      policy: { dir: join(folder, 'policies') },
      providers: { list: Array.from({ length: 10 }, (_, n) => ({ id: `p${n}`, type: 'sim' })) },
    }),
  );
  const nats = opened.use(await startNatsServer());
  const router = startLaunched(['router', '--nats', nats.url, '--config', config]);
  opened.defer(() => router.stop());
  await router.until(/router_ready/);
  const timers = opened.use(new Timers(systemClock));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = opened.use(await openNatsBus({ url: nats.url, name: 'bench', timers, telemetry }));
  let asked = 0;
  const times: number[] = [];
  const ask = async (dueMs: number): Promise<void> => {
    const request = { ...REQUEST, request_id: `rq-${asked++}` };
    const options = { timeoutMs: 10_000, correlation: { traceId: '-', tenantId: 'acme' } };
    const { ok, error } = await bus.request(at(decideV2), request, options);
    if (!ok) throw new Error(`a decision failed: ${error?.code} ${error?.message}`);
    times.push(performance.now() - dueMs);
  };
  const run = async (seconds: number): Promise<void> => {
    let fault: unknown;
    times.length = 0;
    const startMs = performance.now();
    for (let sent = 0; sent < seconds * RATE;) {
      const dueMs = startMs + (sent * 1_000) / RATE;
      if (performance.now() >= dueMs) {
        sent++;
        ask(dueMs).catch((thrown: unknown) => (fault ??= thrown));
      }
      // eslint-disable-next-line no-await-in-loop -- a turn of the loop, in which replies arrive
      else await turn();
    }
    await until('the last replies', () => fault !== undefined || times.length === seconds * RATE);
    if (fault !== undefined) throw fault;
  };
  await run(WARM_UP_S);
  await run(SECONDS);
  const sorted = times.toSorted((a, b) => a - b);
  return { 'nats-p50': percentile(sorted, 0.5), 'nats-p99': percentile(sorted, 0.99) };
}
