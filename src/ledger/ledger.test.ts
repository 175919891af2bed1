import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { deadLetterStream } from '../contracts/streams.ts';
import { priceBucket, priceKey, type LedgerOperation } from '../contracts/ledger.ts';
import { usageMetered } from '../contracts/usage.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { SqlSession, SqlStore } from '../store/sql.ts';
import { openSqlite } from '../store/sqlite.ts';
import { until } from '../../test/until.ts';
import { AT_MS, usageEvent } from './ledger-fixture.ts';
import { startRunning } from './running-fixture.ts';

/** A store that can be away: every statement then fails as if the database were gone. */
class Fragile implements SqlStore {
  readonly dialect = 'sqlite';
  readonly #store: SqlStore;
  isAway = false;
  /** A statement with this text in a parameter is refused by itself. */
  poison = '';

  constructor(store: SqlStore) {
    this.#store = store;
  }

  run: SqlStore['run'] = async (statement, params) => this.#there() ?? this.#store.run(statement, params);
  all: SqlStore['all'] = async (statement, params) => this.#there() ?? this.#store.all(statement, params);
  transaction: SqlStore['transaction'] = async (work) => this.#there() ?? this.#store.transaction(this.#poisoned(work));
  exclusive: SqlStore['exclusive'] = async (name, work) => this.#there() ?? this.#store.exclusive(name, work);
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  #there(): undefined {
    if (this.isAway) throw new BeamlineError('unavailable', 'the database is away');
  }

  #poisoned<T>(work: (session: SqlSession) => Promise<T>): (session: SqlSession) => Promise<T> {
    return (session) =>
      work({
        run: (statement, params) => session.run(statement, params),
        all: async (statement, params = []) => {
          if (params.some((value) => this.poison !== '' && value === this.poison)) {
            throw new BeamlineError('internal', 'a statement failed');
          }
          return session.all(statement, params);
        },
      });
  }
}

const openFragile = (timers: Timers): Fragile => new Fragile(openSqlite({ path: ':memory:', timers }));

const openAway = (timers: Timers): Fragile => {
  const store = openFragile(timers);
  store.isAway = true;
  return store;
};

const period = { since: AT_MS - 1, until: AT_MS + 1 };

test('what the stream delivers is folded, and told', async () => {
  await using running = await startRunning(openFragile);
  for (let n = 0; n < 25; n++) await running.append(usageEvent({ assignment_id: `a-${n % 20}` }));
  await until('the fold', async () => (await running.rows()) === 20);
  const reply = await running.ask('usage', { ...period, group_by: ['provider'] });
  const { totals, data } = reply.result as { totals: { cost_micro_usd: number }; data: readonly object[] };
  assert.deepEqual([reply.ok, totals.cost_micro_usd, data.length], [true, 80, 1]);
  assert.equal((await running.ask('usage', period, 'zeta')).result?.['data'] instanceof Array, true);
  const other = (await running.ask('usage', period, 'zeta')).result as { totals: { attempts: number } };
  assert.equal(other.totals.attempts, 0);
  await until('the repeats', () => /ledger_fold_total\{result="repeated"\} 5/.test(running.metrics.render()));
});

test('while the database is away nothing is lost, questions are answered, and it goes on by itself', async () => {
  await using running = await startRunning(openFragile);
  running.store.isAway = true;
  for (let n = 0; n < 30; n++) await running.append(usageEvent({ assignment_id: `a-${n}` }));
  await until('the fault', () => !running.ledger.health().isReady);
  assert.match(running.metrics.render(), /^ledger_ready 0$/m);
  assert.equal((await running.ask('usage', period)).error?.code, 'unavailable');
  running.store.isAway = false;
  await until('the fold', async () => (await running.rows()) === 30);
  await until('readiness', () => running.ledger.health().isReady);
});

test('a ledger starts while its database is away, and folds when that comes', async () => {
  await using running = await startRunning(openAway);
  await running.append(usageEvent());
  assert.equal(running.ledger.health().isReady, false);
  running.store.isAway = false;
  await until('readiness', () => running.ledger.health().isReady);
  await until('the fold', async () => (await running.rows()) === 1);
});

test('an event that no row can be made of, or that the database refuses, is given up alone', async () => {
  await using running = await startRunning(openFragile);
  running.store.poison = 'acme:bad:1';
  for (const id of ['a', 'bad', 'b']) await running.append(usageEvent({ assignment_id: id }));
  await running.append(usageEvent({ assignment_id: 'c', input_tokens: 1e15 }));
  await running.append(usageEvent({ assignment_id: 'd' }));
  await until('the fold', async () => (await running.rows()) === 3);
  const letters = await until('the letters', async () => {
    const stored = await running.bus.read(deadLetterStream, { fromSeq: 1, limit: 10 });
    return stored.length === 2 ? stored : undefined;
  });
  const told = letters.map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as { assignment_id: string });
  assert.deepEqual(told.map(({ assignment_id: id }) => id).toSorted(), ['bad', 'c']);
});

const document = {
  version: '2026-11-01',
  lines: [{ provider: 'alder', model: 'small', effective_from: '2026-11-01T00:00:00Z', input: 5_000_000, output: 0 }],
};

test('prices are replaced by compare-and-set, priced by from their moment on, and a version never changes', async () => {
  await using running = await startRunning(openFragile);
  const base = (await running.ask('prices', {})).result as { version: string; revision: number };
  assert.match(base.version, /^config-/);
  const put = await running.ask('put_prices', { document, expected_revision: base.revision });
  assert.equal(put.ok, true, JSON.stringify(put.error));
  assert.equal(
    (await running.ask('put_prices', { document, expected_revision: 0 })).error?.code,
    'precondition_failed',
  );
  const { revision } = put.result as { revision: number };
  const changed = { ...document, lines: [{ ...document.lines[0], input: 6_000_000 }] };
  const refused = await running.ask('put_prices', { document: changed, expected_revision: revision });
  assert.equal(refused.error?.code, 'conflict');
  await running.append(usageEvent());
  await running.append(usageEvent({ assignment_id: 'old', timestamp: Date.UTC(2026, 9, 31) }));
  await until('the fold', async () => (await running.rows()) === 2);
  const rows = await running.store.all('SELECT cost_micro_usd, price_version FROM usage_events ORDER BY occurred_at');
  assert.deepEqual(
    rows.map((row) => Object.values(row)),
    [
      [4, base.version],
      [10, '2026-11-01'],
    ],
  );
});

test('a ledger that starts prices its first event by the document that is there', async () => {
  const prepare = async (bus: Bus): Promise<void> => {
    const bucket = await bus.openBucket(priceBucket);
    await bucket.put(priceKey, JSON.stringify(document));
    await bus.append(at(usageMetered), usageEvent(), {
      messageId: 'before',
      timeoutMs: 1_000,
      correlation: { traceId: '-', tenantId: 'acme' },
    });
  };
  await using running = await startRunning(openFragile, prepare);
  await until('the fold', async () => (await running.rows()) === 1);
  const [row] = await running.store.all('SELECT price_version FROM usage_events');
  assert.equal(row?.['price_version'], document.version);
});

test('a bad price document is refused with its places', async () => {
  await using running = await startRunning(openFragile);
  const reply = await running.ask('put_prices', { document: { version: 'v1', lines: [{}] }, expected_revision: 0 });
  assert.equal(reply.error?.code, 'validation_failed');
  assert.ok(JSON.stringify(reply.error?.details).includes('/lines/0/provider'));
});

const REFUSED: readonly (readonly [what: string, op: LedgerOperation, params: object, code: string])[] = [
  ['a group that is none', 'usage', { ...period, group_by: ['cost_micro_usd; DROP TABLE spend'] }, 'invalid_request'],
  ['a period that ends before it begins', 'usage', { since: 2, until: 1 }, 'invalid_request'],
  ['a period of a century', 'usage', { since: 0, until: AT_MS * 2 }, 'invalid_request'],
  ['a cursor that no page gave', 'usage_events', { ...period, cursor: 'x' }, 'invalid_request'],
  ['a run that nobody knows', 'usage_run', { run_id: 'none' }, 'not_found'],
];

for (const [what, op, params, code] of REFUSED) {
  test(`the ledger answers ${code} to ${what}`, async () => {
    await using running = await startRunning(openFragile);
    assert.equal((await running.ask(op, params)).error?.code, code);
  });
}
