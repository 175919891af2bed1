import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { type DecisionRecord, type OutcomeRecord, recordOf } from '../policy/decision-record.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { replay } from '../policy/replay.ts';
import type { LogLine } from '../router/decision-log.ts';
import { DecisionFilesReader } from './decision-files-reader.ts';
import { openDecisionFiles } from './decision-files.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.parse('2026-01-30T12:00:00Z');
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
const DOCUMENT = {
  version: '2.0',
  weights: { alder: 50, birch: 50 },
  fallbacks: [{ when: {}, to: 'rowan' }],
};

function policyOf(revision: number, document: object = DOCUMENT): Policy {
  const parsed = parsePolicy(document, {
    knownProviders: new Set(['alder', 'birch', 'rowan']),
    tenantId: 'kestrel',
    policyId: 'default',
    revision,
  });
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

function lineOf(policy: Policy, id: number): LogLine {
  const facts: Facts = {
    tenantId: 'kestrel',
    requestId: `rq-${id}`,
    taskType: 'ai.chat',
    model: 'small',
    stream: false,
    context: { text: 'zwölf\n🌲' },
  };
  const record = recordOf(policy, facts, FIRST, decide(policy, facts, FIRST, false), START_MS);
  return { text: JSON.stringify(record), policy };
}

const linesOf = (policy: Policy, count: number): readonly LogLine[] =>
  Array.from({ length: count }, (_, id) => lineOf(policy, id));

const outcome: OutcomeRecord = {
  type: 'outcome',
  time_ms: START_MS,
  tenant_id: 'kestrel',
  request_id: 'rq-1',
  attempt: 1,
  provider_id: 'alder',
  state: 'succeeded',
  latency_ms: 7,
};

/** A directory that is gone after the test, with its clock. */
function ground() {
  const dir = mkdtempSync(join(tmpdir(), 'beamline-decisions-'));
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  return {
    dir,
    clock,
    timers,
    open: (more: { fileBytesMax?: number; totalBytesMax?: number } = {}) =>
      openDecisionFiles({ dir: join(dir, 'data'), timers, ...more }),
    names: () => readdirSync(join(dir, 'data')).toSorted(),
    path: (name: string) => join(dir, 'data', name),
    entries: () => [...new DecisionFilesReader([join(dir, 'data')]).entries()],
    [Symbol.dispose]: () => {
      timers[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

test('what was written is read again, and replays to the same decisions from the directory alone', async () => {
  using it = ground();
  const [old, fresh] = [policyOf(14), policyOf(15, { ...DOCUMENT, weights: { alder: 1, birch: 9 } })];
  await using files = await it.open();
  await files.write([...linesOf(old, 50), { text: JSON.stringify(outcome), policy: undefined }]);
  await files.write([lineOf(old, 51), lineOf(fresh, 52), lineOf(old, 53)]);
  const reader = new DecisionFilesReader([it.path('')]);
  const own = (record: DecisionRecord): Policy | undefined => reader.own(record);
  const report = replay(reader.entries(), { own, candidate: own });
  assert.deepEqual([report.records, report.tested, report.mismatch, report.changed], [53, 53, 0, 0]);
  assert.equal(report.expected_latency_ms.covered.before > 0, true);
  assert.deepEqual([reader.files, reader.torn], [1, 0]);
});

test('a document stands once in each file, before its first record', async () => {
  using it = ground();
  const policy = policyOf(14);
  await using files = await it.open({ fileBytesMax: 1_000 });
  for (let id = 0; id < 3; id++) await files.write([lineOf(policy, id), lineOf(policy, id)]);
  assert.deepEqual(it.names(), [
    'decisions-2026-01-30-00001.jsonl',
    'decisions-2026-01-30-00002.jsonl',
    'decisions-2026-01-30-00003.jsonl',
  ]);
  for (const name of it.names()) {
    const types = readFileSync(it.path(name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    assert.deepEqual(types, ['policy', 'decision', 'decision']);
    assert.equal(statSync(it.path(name)).mode & 0o777, 0o600);
  }
});

test('a new day has a new file, and files older than 7 days go', async () => {
  using it = ground();
  const policy = policyOf(14);
  await using files = await it.open();
  for (let day = 0; day < 10; day++) {
    await files.write([lineOf(policy, day)]);
    it.clock.advance(DAY_MS);
  }
  assert.deepEqual(
    it.names(),
    ['01', '02', '03', '04', '05', '06', '07', '08'].map((day) => `decisions-2026-02-${day}-00001.jsonl`),
  );
});

test('old files go although nothing new is recorded, and other files stay', async () => {
  using it = ground();
  {
    await using files = await it.open();
    await files.write([lineOf(policyOf(14), 1)]);
  }
  writeFileSync(it.path('policies.snapshot.json'), '{}');
  it.clock.advance(9 * DAY_MS);
  await using files = await it.open();
  assert.deepEqual(it.names(), ['policies.snapshot.json']);
  await files.write([lineOf(policyOf(14), 2)]);
  it.clock.advance(9 * DAY_MS);
  it.timers.tick();
  for (let turn = 0; turn < 1_000 && it.names().length > 1; turn++) await new Promise(setImmediate);
  assert.deepEqual(it.names(), ['policies.snapshot.json']);
});

test('the oldest files go where all of them would take too much room', async () => {
  using it = ground();
  const policy = policyOf(14);
  await using files = await it.open({ fileBytesMax: 1, totalBytesMax: 3_000 });
  for (let id = 0; id < 20; id++) await files.write([lineOf(policy, id)]);
  const names = it.names();
  assert.equal(names.at(-1), 'decisions-2026-01-30-00020.jsonl');
  assert.ok(names.length >= 2 && names.length < 8, names.join(' '));
});

test('a router that starts again begins a new file', async () => {
  using it = ground();
  for (let start = 0; start < 2; start++) {
    await using files = await it.open();
    await files.write([lineOf(policyOf(14), start)]);
  }
  assert.equal(it.names().length, 2);
  assert.equal(it.entries().length, 2);
});

test('a directory that cannot be made refuses the start; one that goes away fails the write', async () => {
  using it = ground();
  writeFileSync(join(it.dir, 'data'), 'a file');
  await assert.rejects(it.open(), /EEXIST|ENOTDIR/);
  rmSync(join(it.dir, 'data'));
  await using files = await it.open();
  rmSync(join(it.dir, 'data'), { recursive: true });
  await assert.rejects(files.write([lineOf(policyOf(14), 1)]), /ENOENT/);
});

test('after a write that failed the next one begins a file of its own, and nothing that was written is lost', async () => {
  using it = ground();
  // The system refuses to let a file grow above 4096 bytes.
  const script = `
    import { openDecisionFiles } from '${new URL('./decision-files.ts', import.meta.url).href}';
    import { Timers } from '${new URL('../core/timers.ts', import.meta.url).href}';
    import { ManualClock } from '${new URL('../core/clock.ts', import.meta.url).href}';
    const timers = new Timers(new ManualClock(${START_MS}));
    const files = await openDecisionFiles({ dir: process.argv[1], timers });
    const write = (id, size) =>
      files.write([{ text: JSON.stringify({ type: 'later', id, pad: 'x'.repeat(size) }), policy: undefined }]);
    const told = [];
    for (const [id, size] of [[1, 3000], [2, 3000], [3, 3000], [4, 9000], [5, 100]])
      told.push(await write(id, size).then(() => 'ok', (fault) => fault.code));
    await files[Symbol.asyncDispose]();
    console.log(told.join(' '));
    process.exit();
  `;
  const limited = `trap '' XFSZ; ulimit -f 8; exec "$0" --input-type=module -e "$1" "$2"`;
  const child = spawnSync('sh', ['-c', limited, process.execPath, script, join(it.dir, 'data')], { encoding: 'utf8' });
  assert.equal(child.stdout.trim(), 'ok EFBIG ok EFBIG ok', child.stderr);
  const kept = it.names().map((name) => readFileSync(it.path(name), 'utf8').split('\n'));
  const whole = kept.map((lines) => lines.slice(0, -1).map((line) => (JSON.parse(line) as { id: number }).id));
  assert.deepEqual(whole, [[1], [3], [5]]);
});

test('a file with a broken last line is read up to it', async () => {
  using it = ground();
  await using files = await it.open();
  await files.write(linesOf(policyOf(14), 3));
  const [name = ''] = it.names();
  const whole = readFileSync(it.path(name));
  for (const cut of [1, 2, 40, 100]) {
    writeFileSync(it.path(name), whole.subarray(0, whole.length - cut));
    const reader = new DecisionFilesReader([it.path('')]);
    const isWhole = cut === 1;
    assert.deepEqual([[...reader.entries()].length, reader.torn], [isWhole ? 3 : 2, isWhole ? 0 : 1]);
  }
});

test('a broken line before the last is told with its place, and lines of unknown types are passed over', async () => {
  using it = ground();
  await using files = await it.open();
  await files.write(linesOf(policyOf(14), 2));
  const [name = ''] = it.names();
  appendFileSync(it.path(name), `{"type":"later"}\n${lineOf(policyOf(14), 3).text}\n`);
  assert.equal(it.entries().length, 3);
  appendFileSync(it.path(name), '{"type":"decision"}\n{}\n');
  assert.throws(() => it.entries(), new RegExp(`${name}:6:1 is not a decision record`));
});

test('lines longer than a piece of the file are whole', async () => {
  using it = ground();
  await using files = await it.open();
  const policy = policyOf(14);
  const { text } = lineOf(policy, 1);
  const long = text.replace('zwölf', 'ü'.repeat(700_000));
  await files.write([{ text: long, policy }, lineOf(policy, 2), { text: long, policy }]);
  assert.deepEqual(
    it.entries().map((entry) => entry.type === 'decision' && JSON.stringify(entry).length),
    [long.length, text.length, long.length],
  );
});
