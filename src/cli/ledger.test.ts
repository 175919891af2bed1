import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AT_MS, openLedgerStore, rowsOf, usageEvent } from '../ledger/ledger-fixture.ts';
import { foldUsage } from '../ledger/usage-fold.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'beamline-ledger-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const db = `sqlite:${join(folder, 'ledger.sqlite')}`;
const PERIOD = ['--since', '2026-11-01', '--until', '2026-11-02T00:00:00Z'];

{
  await using opened = await openLedgerStore(join(folder, 'ledger.sqlite'));
  const events = ['a', 'b'].map((id) => usageEvent({ assignment_id: id }));
  await foldUsage(opened.store, rowsOf(events), AT_MS);
}

function ledger(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'ledger', ...args], {
    env: {},
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const arrival = (callId: string | null, more: object = {}): string =>
  JSON.stringify({
    at_ms: AT_MS,
    call_id: callId,
    model: 'small',
    status: 200,
    input_tokens: 2,
    output_tokens: 1,
    ...more,
  });

function truthOf(...lines: readonly string[]): string {
  const path = join(folder, 'truth.ndjson');
  writeFileSync(path, lines.join('\n'));
  return path;
}

test('a ledger that equals the log of the provider is reconciled: exit 0', () => {
  const refused = arrival('c:1', { status: 503, input_tokens: null, output_tokens: null });
  const truth = truthOf(arrival('a:1'), arrival('b:1'), refused, arrival(null), '{"torn');
  const { status, stdout } = ledger('reconcile', '--db', db, ...PERIOD, '--truth', truth);
  assert.equal(status, 0, stdout);
  assert.match(
    stdout,
    /^2 attempts in the ledger, 3 known beside it\n4 arrivals at the provider, 1 without a name, 0 repeated/,
  );
  assert.match(stdout, /not compared: jobs, leases/);
});

const WRONG: readonly (readonly [finding: string, lines: readonly string[], count: number])[] = [
  ['lost', [arrival('a:1'), arrival('b:1'), arrival('c:1')], 1],
  ['phantom', [arrival('a:1')], 1],
];

for (const [finding, lines, count] of WRONG) {
  test(`what is ${finding} is told: exit 1`, () => {
    const { status, stdout } = ledger('reconcile', '--db', db, ...PERIOD, '--truth', truthOf(...lines), '--json');
    const found = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([status, found[finding]], [1, count]);
  });
}

test('an estimate of a call that never arrived is no phantom: it is listed as an estimate', async () => {
  const path = join(folder, 'estimate.sqlite');
  {
    await using opened = await openLedgerStore(path);
    await foldUsage(opened.store, rowsOf([usageEvent({ assignment_id: 'a', estimated: true })]), AT_MS);
  }
  const { status, stdout } = ledger('reconcile', '--db', `sqlite:${path}`, ...PERIOD, '--truth', truthOf());
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^phantom +0$/m);
  assert.match(stdout, /^estimated +1$/m);
});

test('other tokens than the provider reported are listed', () => {
  const truth = truthOf(arrival('a:1', { output_tokens: 9 }), arrival('b:1'));
  const { status, stdout } = ledger('reconcile', '--db', db, ...PERIOD, '--truth', truth);
  assert.equal(status, 0);
  assert.match(stdout, /^cost_mismatch +1$/m);
});

test('a log covers the providers that it is said to cover', () => {
  const { status } = ledger('reconcile', '--db', db, ...PERIOD, '--truth', truthOf(), '--truth-provider', 'other');
  assert.equal(status, 0);
});

function invoiceOf(name: string, ...lines: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.join('\n'));
  return path;
}

const HEADER = 'day,provider,model,cost_micro_usd';

test('an invoice that equals the rows is told, and has no deltas', () => {
  const invoice = invoiceOf('equal.csv', HEADER, '2026-11-01,alder,small,8');
  const { status, stdout } = ledger('reconcile', '--db', db, ...PERIOD, '--invoice', invoice);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^invoice: 1 lines, 0 of other days or providers; 8 micro-USD billed, 8 in the ledger$/m);
  assert.match(stdout, /^invoice_delta +0$/m);
  assert.match(stdout, /^not compared: jobs, leases, truth$/m);
});

const DIFFERENT: readonly (readonly [name: string, lines: readonly string[]])[] = [
  ['usd.csv', ['day,provider,model,cost_usd', '2026-11-01,alder,small,0.000005', '2026-11-01,birch,"a,b",0.00001']],
  [
    'lines.jsonl',
    [
      '{"day":"2026-11-01","provider":"alder","model":"small","cost_usd":5e-06}',
      '{"day":"2026-11-01","provider":"birch","model":"a,b","cost_usd":"0.00001"}',
    ],
  ],
];

for (const [name, lines] of DIFFERENT) {
  test(`what differs from the invoice ${name} is listed, the most expensive first: exit 0`, () => {
    const reconcile = ['reconcile', '--db', db, ...PERIOD, '--invoice', invoiceOf(name, ...lines)];
    const { status, stdout } = ledger(...reconcile, '--json');
    const { invoice, invoice_delta, checked } = JSON.parse(stdout) as Record<string, object>;
    const of = { day: '2026-11-01', provider: 'alder', model: 'small' };
    assert.deepEqual(invoice_delta, [
      { ...of, provider: 'birch', model: 'a,b', invoice_micro_usd: 10, ledger_micro_usd: 0, delta_micro_usd: 10 },
      { ...of, invoice_micro_usd: 5, ledger_micro_usd: 8, delta_micro_usd: -3 },
    ]);
    assert.deepEqual(invoice, {
      lines: 2,
      lines_outside: 0,
      invoice_micro_usd: 15,
      ledger_micro_usd: 8,
      deltas: 2,
      deltas_micro_usd: 13,
      cut_days: [],
    });
    assert.deepEqual(checked, { jobs: false, leases: false, truth: false, invoice: true });
    assert.equal(status, 0);
    const text = ledger(...reconcile).stdout;
    assert.match(text, /^invoice_delta +2, 13 micro-USD together$/m);
    assert.match(text, /^ {2}invoice_delta: 2026-11-01 birch "a,b" 10 billed, 0 in the ledger$/m);
  });
}

test('an invoice is of the providers that it is said to be of', () => {
  const invoice = invoiceOf('birch.csv', HEADER, '2026-11-01,birch,small,10', '2026-11-01,cedar,small,10');
  const args = ['reconcile', '--db', db, ...PERIOD, '--invoice', invoice, '--invoice-provider', 'birch', '--json'];
  const { invoice_delta: deltas } = JSON.parse(ledger(...args).stdout) as { invoice_delta: { provider: string }[] };
  assert.deepEqual(
    deltas.map(({ provider }) => provider),
    ['birch'],
  );
});

test('an invoice that cannot be read is told with its line and why: exit 2', () => {
  const bad = invoiceOf('bad.csv', HEADER, '2026-11-01,alder,small,8', '2026-11-01,alder,small,0.1');
  const { status, stdout, stderr } = ledger('reconcile', '--db', db, ...PERIOD, '--invoice', bad);
  assert.deepEqual([status, stdout], [2, '']);
  assert.equal(stderr, `${bad}:3: invoice_line_invalid: cost_micro_usd "0.1" is no whole number\n`);
  const none = ledger('reconcile', '--db', db, ...PERIOD, '--invoice', join(folder, 'none.csv'));
  assert.equal(none.status, 2);
  assert.match(none.stderr, /none\.csv: unreadable: ENOENT/);
});

test('an export is a file of rows and its manifest', () => {
  const out = join(folder, 'usage.csv');
  const { status } = ledger('export', '--db', db, ...PERIOD, '--format', 'csv', '--out', out);
  assert.equal(status, 0);
  assert.equal(readFileSync(out, 'utf8').split('\n').length, 4);
  const manifest = JSON.parse(readFileSync(`${out}.manifest.json`, 'utf8')) as Record<string, unknown>;
  assert.deepEqual([manifest['rows'], manifest['format']], [2, 'csv']);
  const { stdout, stderr } = ledger('export', '--db', db, ...PERIOD, '--tenant', 'acme');
  assert.equal(stdout.trimEnd().split('\n').length, 2);
  assert.equal((JSON.parse(stderr) as { rows: number }).rows, 2);
});

test('tables are made once, and taken back', () => {
  const other = `sqlite:${join(folder, 'other.sqlite')}`;
  assert.match(ledger('migrate', '--db', other).stdout, /^applied: 1, 2/);
  assert.match(ledger('migrate', '--db', other).stdout, /^nothing to do/);
  assert.match(ledger('migrate', '--db', other, '--back-to', '0').stdout, /^taken back: 2, 1/);
});

test('a price document is checked without a ledger', () => {
  const good = join(folder, 'good.yaml');
  writeFileSync(
    good,
    'version: v1\nlines:\n  - { provider: a, model: b, effective_from: 2026-11-01T00:00:00Z, input: 1, output: 2 }\n',
  );
  const { status, stderr } = ledger('prices', 'check', good);
  assert.deepEqual([status, stderr.trim()], [0, `${good}: version v1, 1 lines`]);
  const bad = join(folder, 'bad.yaml');
  writeFileSync(bad, 'version: v1\nlines: [{ provider: a }]\n');
  assert.equal(ledger('prices', 'check', bad).status, 1);
  assert.equal(ledger('prices', 'check', join(folder, 'none.yaml')).status, 2);
});

const USAGE: readonly (readonly [what: string, args: readonly string[], told: RegExp])[] = [
  ['no database', ['export', ...PERIOD], /no database is named/],
  ['a moment that is none', ['export', '--db', db, '--since', 'yesterday'], /--since "yesterday"/],
  [
    'a period that ends first',
    ['export', '--db', db, '--since', '2026-11-02', '--until', '2026-11-01'],
    /after --since/,
  ],
  ['prices without a bus', ['prices', 'show'], /--nats is required/],
  ['an unknown command', ['audit'], /unknown command "audit"/],
];

for (const [what, args, told] of USAGE) {
  test(`${what} is wrong usage: exit 64`, () => {
    const { status, stderr } = ledger(...args);
    assert.equal(status, 64, stderr);
    assert.match(stderr, told);
  });
}

test('the ledger alone is still the role', () => {
  const { status, stdout } = ledger('--nats', '127.0.0.1:4222', '--check-config');
  assert.equal(status, 0);
  assert.match(stdout, /^ledger\.batch = 500 /m);
});
