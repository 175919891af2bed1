import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageEvent } from '../contracts/usage.ts';
import { AT_MS, openLedgerStore, rowsOf, usageEvent } from './ledger-fixture.ts';
import { DAY_MS, type InvoiceScope, readInvoice } from './invoice.ts';
import { invoiceDelta, INVOICE_DELTAS_MAX } from './invoice-delta.ts';
import type { InvoiceFormat } from './invoice-lines.ts';
import { providerCosts } from './provider-costs.ts';
import { foldUsage } from './usage-fold.ts';

const START = AT_MS - (AT_MS % DAY_MS);
const everyone: InvoiceScope = { period: { since: START, until: START + 2 * DAY_MS }, covers: () => true };
const HEADER = 'day,provider,model,cost_micro_usd';

const read = (lines: readonly string[], format?: InvoiceFormat, scope = everyone) =>
  readInvoice([Buffer.from(lines.join('\n'))], format, scope);

/** Picodollars by day, provider and model. */
const sumsOf = (...args: Parameters<typeof read>) =>
  [...read(...args).days].flatMap(([day, groups]) =>
    [...groups].map(([group, cost]) => [new Date(day).toISOString().slice(5, 10), group, cost]),
  );

test('lines are summed by day, provider and model; other columns and days are left out', () => {
  const lines = [
    'invoice_id,model,cost_micro_usd,day,provider',
    'i-1,small,3,2026-11-01,alder',
    '"i,2",small,4,2026-11-01,alder',
    'i-3,"a ""large"" one",-5,2026-11-02,alder',
    'i-4,,1,2026-11-02,alder',
    'i-5,small,9,2026-10-31,alder',
    'i-6,small,9,2026-11-03,alder',
  ];
  assert.deepEqual(sumsOf(lines), [
    ['11-01', 'alder small', 7_000_000n],
    ['11-02', 'alder a "large" one', -5_000_000n],
    ['11-02', 'alder ', 1_000_000n],
  ]);
  const { lines: count, linesOutside } = read(lines);
  assert.deepEqual([count, linesOutside], [6, 2]);
});

test('a day that the period has a part of is read', () => {
  const noon = START + DAY_MS / 2;
  const scope = { ...everyone, period: { since: noon, until: noon + DAY_MS } };
  const lines = ['10-31', '11-01', '11-02', '11-03'].map((day) => `2026-${day},alder,small,1`);
  assert.deepEqual(
    sumsOf([HEADER, ...lines], 'csv', scope).map(([day]) => day),
    ['11-01', '11-02'],
  );
});

test('providers that are not asked for are left out', () => {
  const scope = { ...everyone, covers: (provider: string) => provider === 'birch' };
  const lines = [HEADER, '2026-11-01,alder,small,1', '2026-11-01,birch,small,2'];
  assert.deepEqual(sumsOf(lines, 'csv', scope), [['11-01', 'birch small', 2_000_000n]]);
});

const JSON_LINES = [
  '{"day":"2026-11-01","provider":"alder","model":"small","cost_micro_usd":3,"more":{"a":[1]}}',
  '',
  '{"day":"2026-11-01","provider":"alder","model":null,"cost_usd":"0.5"}',
  '{"day":"2026-11-01","provider":"alder","model":"small","cost_usd":1e-05}',
];

for (const format of ['json', undefined] as const) {
  test(`lines of JSON are read, told by ${format ?? 'the first of them'}`, () => {
    assert.deepEqual(sumsOf(JSON_LINES, format), [
      ['11-01', 'alder small', 13_000_000n],
      ['11-01', 'alder ', 500_000_000_000n],
    ]);
  });
}

const AMOUNTS: readonly (readonly [usd: string, picodollars: bigint])[] = [
  ['0.1', 100_000_000_000n],
  ['+12', 12_000_000_000_000n],
  ['-0.000001', -1_000_000n],
  ['0.0000015', 1_500_000n],
  ['123456.123456789012', 123_456_123_456_789_012n],
  ['0.00123456789012345678', 1_234_567_890n],
  ['2.5E-7', 250_000n],
  ['1.5e2', 150_000_000_000_000n],
];

for (const [usd, picodollars] of AMOUNTS) {
  test(`${usd} USD is exact, as a text and as a number`, () => {
    const from = (cost: string) => `{"day":"2026-11-01","provider":"alder","model":"small","cost_usd":${cost}}`;
    const costs = [`"${usd}"`, ...(usd.startsWith('+') ? [] : [usd])];
    for (const cost of costs) assert.deepEqual(sumsOf([from(cost)], 'json'), [['11-01', 'alder small', picodollars]]);
  });
}

test('where both costs are there, the whole micro-USD count', () => {
  assert.deepEqual(sumsOf([`cost_usd,${HEADER}`, '7,2026-11-01,alder,small,1']), [
    ['11-01', 'alder small', 1_000_000n],
  ]);
});

const row = (cells: string): readonly string[] => [HEADER, '2026-11-01,alder,small,1', cells];
const object = (members: object): readonly string[] => [
  JSON.stringify({ day: '2026-11-01', provider: 'alder', model: 'small', cost_micro_usd: 1, ...members }),
];
const BAD: readonly (readonly [lines: readonly string[], told: RegExp, reason: string, line: number])[] = [
  [['day,model,cost'], /no column provider, cost_micro_usd or cost_usd/, 'invoice_header_invalid', 1],
  [[`day,${HEADER}`], /column day is there twice/, 'invoice_header_invalid', 1],
  [row('2026-11-01,alder,small'), /3 cells under a header of 4/, 'csv_invalid', 3],
  [row('2026-11-01,alder,small,1,2'), /5 cells/, 'csv_invalid', 3],
  [row('2026-11-31,alder,small,1'), /day "2026-11-31" is no day/, 'invoice_line_invalid', 3],
  [row('01.11.2026,alder,small,1'), /is no day/, 'invoice_line_invalid', 3],
  [row('2026-13-01,alder,small,1'), /is no day/, 'invoice_line_invalid', 3],
  [row('2026-11-01, alder,small,1'), /provider " alder"/, 'invoice_line_invalid', 3],
  [row('2026-11-01,,small,1'), /provider ""/, 'invoice_line_invalid', 3],
  [row('2026-11-01,alder,small,1.5'), /cost_micro_usd "1.5" is no whole number/, 'invoice_line_invalid', 3],
  [row('2026-11-01,alder,small,'), /cost_micro_usd "" is no whole/, 'invoice_line_invalid', 3],
  [row(`2026-11-01,alder,small,${'9'.repeat(18)}`), /more than can be summed/, 'invoice_line_invalid', 3],
  [['day,provider,model,cost_usd', '2026-11-01,a,m,"1,5"'], /cost_usd "1,5"/, 'invoice_line_invalid', 2],
  [['{"day":'], /no JSON/, 'invoice_line_invalid', 1],
  [['{}', '[]'], /day "" is no day/, 'invoice_line_invalid', 1],
  [object({ model: undefined }), /model is missing/, 'invoice_line_invalid', 1],
  [object({ model: ['small'] }), /model "\[\\"small\\"\]" is no text/, 'invoice_line_invalid', 1],
  [object({ cost_micro_usd: undefined }), /cost_usd is missing/, 'invoice_line_invalid', 1],
  [object({ cost_micro_usd: null }), /cost_micro_usd "null" is no text/, 'invoice_line_invalid', 1],
  [[...object({}), '[]'], /no JSON object/, 'invoice_line_invalid', 2],
];

for (const [lines, message, reason, line] of BAD) {
  test(`${lines.at(-1)?.slice(0, 90)} is refused: ${message.source}`, () => {
    assert.throws(() => read(lines), { code: 'validation_failed', message, details: { reason, line } });
  });
}

test('an invoice with more sums than memory is for is refused', () => {
  function* pieces(): Generator<Buffer> {
    yield Buffer.from(`${HEADER}\n`);
    for (let n = 0; n <= 100_000; n++) yield Buffer.from(`2026-11-01,alder,m-${n},1\n`);
  }
  assert.throws(() => readInvoice(pieces(), 'csv', everyone), {
    details: { reason: 'invoice_too_many_groups', line: 100_002 },
  });
});

function withoutModel(event: UsageEvent): UsageEvent {
  const { model: _, ...more } = event;
  return more;
}

/** What the ledger has: 1000 micro-USD of alder small on each of two days, and 4 of birch without a model. */
async function compare(lines: readonly string[], scope = everyone, more: Parameters<typeof usageEvent>[0][] = []) {
  await using opened = await openLedgerStore();
  const { store } = opened;
  const told = (id: string, own: Parameters<typeof usageEvent>[0]) => usageEvent({ assignment_id: id, ...own });
  const events = [
    told('a', { input_tokens: 400, output_tokens: 200 }),
    // An estimate, corrected by -800.
    told('b', { input_tokens: 1_000, output_tokens: 0, estimated: true }),
    told('b', { input_tokens: 200, output_tokens: 0 }),
    told('c', { input_tokens: 1_000, output_tokens: 0, timestamp: AT_MS + DAY_MS, tenant_id: 'zeta', shadow: true }),
    withoutModel(told('d', { provider_id: 'birch' })),
    told('e', { input_tokens: 0, output_tokens: 0, cost_micro_usd: 0, provider_id: 'cedar', timestamp: AT_MS }),
    told('f', { input_tokens: 9, timestamp: START + 2 * DAY_MS }),
    ...more.map((event) => usageEvent(event)),
  ];
  for (const event of events) await foldUsage(store, rowsOf([event]), AT_MS);
  return await invoiceDelta(read([HEADER, ...lines], 'csv', scope), scope, (params) => providerCosts(store, params));
}

const EQUAL = ['2026-11-01,alder,small,1000', '2026-11-02,alder,small,1000', '2026-11-01,birch,,4'];

test('an invoice that equals the rows of all tenants, shadows and corrections included, has no deltas', async () => {
  assert.deepEqual(await compare(EQUAL), {
    invoice: {
      lines: 3,
      lines_outside: 0,
      invoice_micro_usd: 2004,
      ledger_micro_usd: 2004,
      deltas: 0,
      deltas_micro_usd: 0,
      cut_days: [],
    },
    invoice_delta: [],
  });
});

const EDGES: readonly (readonly [cost: number, deltas: number])[] = [
  [1_005, 0],
  [1_006, 1],
  [996, 0],
  [995, 1],
];

for (const [cost, deltas] of EDGES) {
  test(`${cost} on the invoice and 1000 in the ledger ${deltas === 0 ? 'is not' : 'is'} a delta`, async () => {
    const { invoice } = await compare([`2026-11-01,alder,small,${cost}`, ...EQUAL.slice(1)]);
    assert.deepEqual([invoice.deltas, invoice.deltas_micro_usd], [deltas, deltas * Math.abs(cost - 1_000)]);
  });
}

test('what differs is told with both amounts, the most expensive first, also what one side has alone', async () => {
  const { invoice, invoice_delta: deltas } = await compare([
    '2026-11-01,alder,small,500',
    '2026-11-02,alder,small,900',
    '2026-11-02,dogwood,a b,5000',
    '2026-11-02,elm,free,0',
  ]);
  const told = deltas.map((delta) => Object.values(delta));
  assert.deepEqual(told, [
    ['2026-11-02', 'dogwood', 'a b', 5_000, 0, 5_000],
    ['2026-11-01', 'alder', 'small', 500, 1_000, -500],
    ['2026-11-02', 'alder', 'small', 900, 1_000, -100],
    ['2026-11-01', 'birch', null, 0, 4, -4],
  ]);
  assert.deepEqual([invoice.deltas, invoice.deltas_micro_usd], [4, 5_604]);
});

test('of many deltas the largest are listed, and all are counted', async () => {
  const lines = Array.from({ length: 350 }, (_, n) => `2026-11-01,elm,m-${n},${n + 1}`);
  const { invoice, invoice_delta: deltas } = await compare([...EQUAL, ...lines]);
  assert.deepEqual([invoice.deltas, invoice.deltas_micro_usd], [350, (350 * 351) / 2]);
  assert.deepEqual([deltas.length, deltas[0]?.model, deltas.at(-1)?.model], [INVOICE_DELTAS_MAX, 'm-349', 'm-250']);
});

test('rows of more models than a page holds are all compared', async () => {
  const models = Array.from({ length: 650 }, (_, n) => `m-${n}`);
  const more = models.map((model) => ({ assignment_id: model, model, provider_id: 'elm', cost_micro_usd: 7 }));
  const lines = models.map((model) => `2026-11-01,elm,${model},7`);
  const { invoice } = await compare([...EQUAL, ...lines], everyone, more);
  assert.deepEqual([invoice.deltas, invoice.ledger_micro_usd], [0, 2_004 + 650 * 7]);
});

test('rows outside of the period and of other providers are not compared, and days that it cuts are told', async () => {
  const period = { since: AT_MS + 1, until: START + 2 * DAY_MS };
  const scope = { period, covers: (provider: string) => provider === 'alder' };
  const { invoice, invoice_delta: deltas } = await compare(EQUAL, scope);
  assert.deepEqual(invoice.cut_days, ['2026-11-01']);
  assert.deepEqual([invoice.lines_outside, invoice.ledger_micro_usd, deltas.length], [1, 1_000, 1]);
});
