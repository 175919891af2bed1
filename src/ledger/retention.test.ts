import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { AT_MS, openLedgerStore, rowsOf, usageEvent } from './ledger-fixture.ts';
import { type RetentionRule, sweep } from './retention.ts';
import { foldUsage } from './usage-fold.ts';

const DAY_MS = 86_400_000;

/** The ids that are left of `0` to `14`, of which each is a day younger than the one before; the last is of today. */
async function left(rule: RetentionRule): Promise<readonly string[]> {
  await using opened = await openLedgerStore();
  using timers = new Timers(new ManualClock(AT_MS + 14 * DAY_MS));
  const events = Array.from({ length: 15 }, (_, n) =>
    usageEvent({ usage_id: `${n}`, timestamp: AT_MS + n * DAY_MS, tags: ['t'] }),
  );
  await foldUsage(opened.store, rowsOf(events), AT_MS);
  await sweep({ store: opened.store, timers, log: openLog('silent', { write: () => undefined }), rule });
  const rows = await opened.store.all<{ usage_id: string }>('SELECT usage_id FROM usage_events ORDER BY occurred_at');
  const tags = await opened.store.all('SELECT usage_id FROM usage_tags');
  assert.equal(tags.length, rows.length);
  return rows.map(({ usage_id }) => usage_id);
}

test('a ledger in memory keeps its newest rows', async () => {
  assert.deepEqual(await left({ kind: 'newest', rowsMax: 3 }), ['12', '13', '14']);
});

test('rows past their time are exported and then deleted', async () => {
  let exportedUntil = 0;
  const exportBefore = async (untilMs: number): Promise<void> => void (exportedUntil = untilMs);
  assert.deepEqual(await left({ kind: 'days', days: 2, exportBefore }), ['12', '13', '14']);
  assert.equal(exportedUntil, AT_MS + 12 * DAY_MS);
});

test('nothing is deleted that was not exported', async () => {
  assert.equal((await left({ kind: 'days', days: 2, exportBefore: undefined })).length, 15);
  await assert.rejects(
    left({ kind: 'days', days: 2, exportBefore: () => Promise.reject(new Error('no room')) }),
    /no room/,
  );
});

test('sums of old hours are put together, whether or not rows are exported', async () => {
  await using opened = await openLedgerStore();
  using timers = new Timers(new ManualClock(AT_MS + 14 * DAY_MS));
  const events = Array.from({ length: 15 }, (_, n) => usageEvent({ usage_id: `${n}`, timestamp: AT_MS + n * DAY_MS }));
  await foldUsage(opened.store, rowsOf(events), AT_MS);
  const rule: RetentionRule = { kind: 'days', days: 2, exportBefore: undefined };
  await sweep({ store: opened.store, timers, log: openLog('silent', { write: () => undefined }), rule });
  const hours = await opened.store.all<{ amount: number }>(
    "SELECT amount FROM spend WHERE scope = 'tenant' AND unit = 'requests' ORDER BY window_start",
  );
  // The hour of the day before yesterday began before its row is two days old.
  assert.deepEqual(
    hours.map(({ amount }) => amount),
    [13, 1, 1],
  );
});
