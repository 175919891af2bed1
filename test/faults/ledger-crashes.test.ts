// A ledger that is killed around its commit (worker 9, points 11 and 12), and started again, also with a torn end of its
// database: one row of each event, and the sums are those of the rows.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
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

interface Crash {
  readonly point: number;
  readonly name: string;
  /** What the cut power leaves of the database, beside what the process does. */
  readonly tear?: (path: string) => void;
}

/** Kills a ledger that has been sent events, tears its database, and starts another; resolves with what that one has. */
async function crashed({ point, name, tear = () => undefined }: Crash): Promise<object> {
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
  const events = Array.from({ length: EVENTS }, (_, n) => usageEvent({ assignment_id: `${name}-${n}` }));
  for (const event of events) {
    const options = { messageId: `usage:${event.usage_id}`, timeoutMs: 5_000, correlation };
    // eslint-disable-next-line no-await-in-loop -- in order
    await bus.append(at(usageMetered), event, options);
  }
  await doomed.ended;
  assert.match(doomed.output(), /crash_point_set/);
  tear(path);
  const next = start();
  await next.until(/ledger_ready/);
  await untilFolded();
  await next.stop();
  await using store = openSqlite({ path, timers });
  const [sums] = await store.all(SUMS);
  const [check] = await store.all('PRAGMA integrity_check');
  return { ...sums, ...check };
}

const WHOLE = { rows: EVENTS, cost: EVENTS * 4, spent: EVENTS * 4, integrity_check: 'ok' };

for (const [point, when] of [
  [11, 'before its commit'],
  [12, 'after its commit and before it acknowledged'],
] as const) {
  test(`a ledger that is killed ${when} has one row of each event`, async () => {
    assert.deepEqual(await crashed({ point, name: `p${point}` }), WHOLE);
  });
}

/** Rows of a copy: who opens a database repairs it. */
function rowsIn(path: string): number {
  const copy = mkdtempSync(join(tmpdir(), 'beamline-ledger-copy-'));
  try {
    for (const end of ['', '-wal']) copyFileSync(`${path}${end}`, join(copy, `ledger${end}`));
    using database = new DatabaseSync(join(copy, 'ledger'));
    return Number(database.prepare('SELECT COUNT(*) AS rows FROM usage_events').get()?.['rows']);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** A page of the log and its head (SQLite, "WAL-mode File Format"). */
const FRAME_BYTES = 4_096 + 24;
const walOf = (path: string): string => `${path}-wal`;
const cut = (path: string, bytes: number): void => truncateSync(walOf(path), statSync(walOf(path)).size - bytes);

function flip(path: string): void {
  const log = readFileSync(walOf(path));
  const place = log.length - FRAME_BYTES / 2;
  log[place] = (log[place] ?? 0) ^ 0xff;
  writeFileSync(walOf(path), log);
}

// What is torn, how, and whether the commit that nobody was told of is in it.
const TEARS: readonly (readonly [what: string, tear: (path: string) => void, isLost: boolean])[] = [
  ['half a page after its last commit', (path) => appendFileSync(walOf(path), randomBytes(FRAME_BYTES / 2)), false],
  ['half of the last page of a commit', (path) => cut(path, FRAME_BYTES / 2), true],
  ['another byte in the last page of a commit', flip, true],
];

for (const [index, [what, tear, isLost]] of TEARS.entries()) {
  test(`a ledger whose database ends with ${what} opens it, and counts what comes again once`, async () => {
    const torn = (path: string): void => {
      const folded = rowsIn(path);
      assert.ok(folded > 0, 'the commit had happened');
      tear(path);
      assert.equal(rowsIn(path), isLost ? 0 : folded);
    };
    assert.deepEqual(await crashed({ point: 12, name: `torn-${index}`, tear: torn }), WHOLE);
  });
}
