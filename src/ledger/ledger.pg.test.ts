import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgresServer } from '../../test/postgres-server.ts';
import { until } from '../../test/until.ts';
import { openPostgres } from '../store/postgres.ts';
import { openLog } from '../telemetry/log.ts';
import { AT_MS, usageEvent } from './ledger-fixture.ts';
import { startRunning } from './running-fixture.ts';

const log = openLog('silent', { write: () => undefined });

test('a PostgreSQL that is killed under the ledger loses nothing, doubles nothing, and is used again', async () => {
  await using server = await startPostgresServer();
  await using running = await startRunning(() => openPostgres({ url: server.createDatabase(), log }));
  const append = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await running.append(usageEvent({ assignment_id: `a-${n}` }));
  };
  await append(0, 40);
  await until('some of the fold', async () => (await running.rows()) > 0);
  await server.kill();
  await append(40, 80);
  await until('the fault', () => !running.ledger.health().isReady);
  await server.restart();
  await until('the rest', async () => (await running.rows().catch(() => 0)) === 80);
  const reply = await running.ask('usage', { since: AT_MS - 1, until: AT_MS + 1, group_by: ['provider'] });
  const { totals } = reply.result as { totals: { attempts: number; cost_micro_usd: number } };
  assert.deepEqual([totals.attempts, totals.cost_micro_usd], [80, 320]);
  const [spent] = await running.store.all(
    "SELECT CAST(SUM(amount) AS BIGINT) AS amount FROM spend WHERE unit = 'micro_usd' AND scope = 'tenant'",
  );
  assert.equal(spent?.['amount'], 320);
  await until('readiness', () => running.ledger.health().isReady);
});
