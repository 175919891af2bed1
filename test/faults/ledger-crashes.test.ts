// A ledger that is killed around its commit (worker 9, points 11 and 12), and started again: one row of each event, and the
// sums are those of the rows.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { openNatsBus } from '../../src/bus/nats.ts';
import { at } from '../../src/contracts/contract.ts';
import { usageStream } from '../../src/contracts/streams.ts';
import { usageMetered } from '../../src/contracts/usage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { usageEvent } from '../../src/ledger/ledger-fixture.ts';
import { openSqlite } from '../../src/store/sqlite.ts';
import { openLog } from '../../src/telemetry/log.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { startBeamline } from '../process.ts';
import { until } from '../until.ts';

const EVENTS = 40;
const correlation = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', tenantId: 'acme' };

let nats: NatsServer;
before(async () => {
  nats = await startNatsServer();
});
after(() => nats.stop());

/** Resolves when the ledger owes the stream nothing; what a dead one held is given out again at once. */
async function untilFolded(): Promise<void> {
  await using nc = await connect({ servers: nats.url });
  const { consumers } = await jetstreamManager(nc);
  await consumers.update('BEAMLINE_USAGE', 'ledger-usage', { ack_wait: 100_000_000 });
  await until('the stream to be read', async () => {
    const info = await consumers.info('BEAMLINE_USAGE', 'ledger-usage');
    return info.num_pending === 0 && info.num_ack_pending === 0;
  });
}

const SUMS = `SELECT CAST(COUNT(*) AS BIGINT) AS rows, CAST(SUM(cost_micro_usd) AS BIGINT) AS cost,
  (SELECT CAST(SUM(amount) AS BIGINT) FROM spend WHERE scope = 'tenant' AND unit = 'micro_usd') AS spent FROM usage_events`;

for (const [point, when] of [
  [11, 'before its commit'],
  [12, 'after its commit and before it acknowledged'],
] as const) {
  test(`a ledger that is killed ${when} has one row of each event`, async () => {
    await using opened = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), 'beamline-ledger-crash-'));
    opened.defer(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'ledger.sqlite');
    const config = join(folder, 'beamline.yaml');
    writeFileSync(config, JSON.stringify({ ledger: { url: `sqlite:${path}` } }));
    const timers = opened.use(new Timers(systemClock));
    const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
    const bus = opened.use(await openNatsBus({ url: nats.url, name: 'test', timers, telemetry }));
    await bus.ensureStream(usageStream);
    const start = (env: Readonly<Record<string, string>> = {}) =>
      startBeamline(['ledger', '--nats', nats.url, '--config', config], env);

    const doomed = start({ CRASH_AT: String(point) });
    await doomed.until(/ledger_ready/);
    const events = Array.from({ length: EVENTS }, (_, n) => usageEvent({ assignment_id: `p${point}-${n}` }));
    for (const event of events) {
      const options = { messageId: `usage:${event.usage_id}`, timeoutMs: 5_000, correlation };
      // eslint-disable-next-line no-await-in-loop -- in order
      await bus.append(at(usageMetered), event, options);
    }
    await doomed.ended;
    assert.match(doomed.output(), /crash_point_set/);
    const next = start();
    await next.until(/ledger_ready/);
    await untilFolded();
    await next.stop();

    await using store = openSqlite({ path, timers });
    const [sums] = await store.all<{ rows: number; cost: number; spent: number }>(SUMS);
    assert.deepEqual({ ...sums }, { rows: EVENTS, cost: EVENTS * 4, spent: EVENTS * 4 });
  });
}
