import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import type { LedgerParams } from '../contracts/ledger-operations.ts';
import { AT_MS, openLedgerStore, rowsOf, usageEvent } from './ledger-fixture.ts';
import { EXPORT_FORMATS, exportUsage } from './usage-export.ts';
import { foldUsage } from './usage-fold.ts';
import { usagePage, usageRun } from './usage-pages.ts';
import { usageReport } from './usage-report.ts';

const DAY_MS = 86_400_000;
const opened = await openLedgerStore();
after(() => opened[Symbol.asyncDispose]());
const { store } = opened;

const EVENTS = [
  usageEvent({ assignment_id: 'a', tags: ['x', 'y'], key_id: 'k1' }),
  usageEvent({ assignment_id: 'b', provider_id: 'birch', tags: ['x'], timestamp: AT_MS + DAY_MS, request_id: 'req-2' }),
  usageEvent({ assignment_id: 'c', timestamp: AT_MS + 31 * DAY_MS, run_id: 'run-7', step_id: 's1' }),
  usageEvent({
    assignment_id: 'd',
    timestamp: AT_MS + 31 * DAY_MS,
    run_id: 'run-7',
    step_id: 's2',
    estimated: true,
    input_tokens: 8,
  }),
  usageEvent({ assignment_id: 'd', timestamp: AT_MS + 32 * DAY_MS, run_id: 'run-7', step_id: 's2' }),
  usageEvent({
    assignment_id: 'e',
    timestamp: AT_MS + 32 * DAY_MS,
    estimated: true,
    model: 'unknown',
    cost_micro_usd: 0,
    unpriced: true,
  }),
  usageEvent({ tenant_id: 'zeta', assignment_id: 'f' }),
];
for (const event of EVENTS) await foldUsage(store, rowsOf([event]), AT_MS);

const whole = { since: AT_MS - DAY_MS, until: AT_MS + 40 * DAY_MS };
const told = (
  data: readonly {
    readonly group: object;
    readonly start?: number;
    readonly attempts: number;
    readonly cost_micro_usd: number;
  }[],
) =>
  data.map(({ group, start, attempts, cost_micro_usd: cost }) => [
    ...Object.values(group),
    ...(start === undefined ? [] : [new Date(start).toISOString().slice(0, 13)]),
    attempts,
    cost,
  ]);

test('totals are of all rows of the tenant, corrections included', async () => {
  const { totals, data } = await usageReport(store, 'acme', whole);
  const {
    attempts,
    cost_micro_usd: cost,
    estimated_attempts: estimated,
    unpriced_attempts: unpriced,
    input_tokens,
  } = totals;
  assert.deepEqual([attempts, cost, estimated, unpriced, input_tokens, data.length], [5, 4 + 11 + 4 + 4, 1, 1, 10, 0]);
});

type Report = readonly [what: string, asked: Partial<LedgerParams['usage']>, rows: readonly (readonly unknown[])[]];
const REPORTS: readonly Report[] = [
  [
    'provider',
    { group_by: ['provider'] },
    [
      ['alder', 4, 12],
      ['birch', 1, 11],
    ],
  ],
  [
    'two columns',
    { group_by: ['provider', 'status'] },
    [
      ['alder', 'success', 4, 12],
      ['birch', 'success', 1, 11],
    ],
  ],
  [
    'key, also where there is none',
    { group_by: ['key'] },
    [
      ['k1', 1, 4],
      [null, 4, 19],
    ],
  ],
  [
    'tag, each event under each of its own',
    { group_by: ['tag'] },
    [
      ['x', 2, 15],
      ['y', 1, 4],
      [null, 3, 8],
    ],
  ],
  [
    'hour',
    { interval: 'hour' },
    [
      ['2026-11-01T10', 1, 4],
      ['2026-11-02T10', 1, 11],
      ['2026-12-02T10', 2, 8],
      ['2026-12-03T10', 1, 0],
    ],
  ],
  [
    'month',
    { interval: 'month' },
    [
      ['2026-11-01T00', 2, 15],
      ['2026-12-01T00', 3, 8],
    ],
  ],
];

const byText = (rows: readonly (readonly unknown[])[]) => rows.map((row) => JSON.stringify(row)).toSorted();

for (const [what, asked, expected] of REPORTS) {
  test(`usage is summed by ${what}`, async () => {
    const params = { ...whole, ...asked };
    assert.deepEqual(byText(told((await usageReport(store, 'acme', params)).data)), byText(expected));
  });
}

test('pages hold every row once, the newest first, and filters narrow them', async () => {
  const seen: string[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await usagePage(store, 'acme', { ...whole, limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    seen.push(...page.events.map(({ usage_id }) => usage_id));
    cursor = page.next_cursor;
    if (cursor === undefined) break;
  }
  assert.deepEqual(seen, ['acme:e:1', 'acme:d:1:adj:1', 'acme:d:1', 'acme:c:1', 'acme:b:1', 'acme:a:1']);
  const { events } = await usagePage(store, 'acme', { ...whole, provider: 'birch' });
  assert.deepEqual(
    events.map(({ provider, billable, request_id }) => [provider, billable, request_id]),
    [['birch', true, 'req-2']],
  );
});

test('a run is the sum of its rows by step, and partial while more may come', async () => {
  const run = await usageRun(store, 'acme', 'run-7', AT_MS + 1);
  assert.deepEqual([run.attempts, run.cost_micro_usd, run.partial], [2, 8, true]);
  assert.deepEqual(
    run.steps.map(({ step_id, cost_micro_usd }) => [step_id, cost_micro_usd]),
    [
      ['s1', 4],
      ['s2', 4],
    ],
  );
  assert.equal((await usageRun(store, 'acme', 'req-2', AT_MS + DAY_MS)).partial, false);
  await assert.rejects(usageRun(store, 'zeta', 'run-7', AT_MS), { code: 'not_found' });
});

for (const format of EXPORT_FORMATS) {
  test(`an export as ${format} is ordered and repeatable, and its manifest holds`, async () => {
    const write = async (): Promise<[string, unknown]> => {
      let text = '';
      const manifest = await exportUsage(store, whole, format, (more) => void (text += more));
      return [text, manifest];
    };
    const [[text, manifest], again] = await Promise.all([write(), write()]);
    assert.deepEqual([text, manifest], again);
    const lines = text.trimEnd().split('\n');
    assert.equal(lines.length, format === 'csv' ? 8 : 7);
    assert.deepEqual(manifest, {
      ...whole,
      format,
      rows: 7,
      totals: { input_tokens: 12, output_tokens: 6, cost_micro_usd: 27 },
      sha256: createHash('sha256').update(text).digest('hex'),
    });
  });
}

test('an export is narrowed by tenant, run and key', async () => {
  const rowsIn = async (scope: object) =>
    (await exportUsage(store, { ...whole, ...scope }, 'json', () => undefined)).rows;
  assert.deepEqual(
    await Promise.all([rowsIn({ tenant: 'zeta' }), rowsIn({ run: 'run-7' }), rowsIn({ key: 'k1' })]),
    [1, 3, 1],
  );
});
