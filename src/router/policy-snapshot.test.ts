import assert from 'node:assert/strict';
import { test } from 'node:test';
import { live, markOf, openReplica, tombstone } from './policy-fixture.ts';
import { PolicySnapshot, type SnapshotFile } from './policy-snapshot.ts';
import type { PolicySource } from './policy-source.ts';

/** A file in memory that counts how often it was written. */
function memoryFile(text?: string): SnapshotFile & { text: string | undefined; writes: number } {
  return {
    text,
    writes: 0,
    async read() {
      return this.text;
    },
    async write(next) {
      this.text = next;
      this.writes++;
    },
  };
}

function open(file: SnapshotFile, source: PolicySource['kind'] = 'kv') {
  const opened = openReplica(source);
  const { replica, timers, telemetry } = opened;
  return { ...opened, snapshot: new PolicySnapshot({ replica, source, file, timers, log: telemetry.log }) };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('a process that starts without its source has what the one before it knew, deletions included', async () => {
  const file = memoryFile();
  const before = open(file);
  before.snapshot.all([live('test', 3), live('gone', 1)]);
  before.snapshot.changed(tombstone('gone', 2));
  await before.snapshot[Symbol.asyncDispose]();
  const { replica, snapshot, clock } = open(file);
  snapshot.unreachable(new Error('away'));
  await snapshot.restore();
  assert.equal(replica.isStale(clock.nowMs()), true);
  snapshot.changed(live('gone', 1));
  assert.deepEqual([markOf(replica, 'test'), markOf(replica, 'gone')], ['test-3', 'policy_not_found']);
  snapshot.all([live('test', 4)]);
  assert.equal(markOf(replica, 'test'), 'test-4');
  await snapshot[Symbol.asyncDispose]();
});

test('the snapshot is written at most once per second, with what stands then', async () => {
  const file = memoryFile();
  const { snapshot, clock, timers } = open(file);
  const pass = async (ms: number): Promise<number> => {
    clock.advance(ms);
    timers.tick();
    await turn();
    return file.writes;
  };
  snapshot.all([]);
  assert.equal(await pass(50), 1);
  for (let revision = 1; revision <= 50; revision++) {
    snapshot.changed(live('test', revision));
    await pass(10);
  }
  assert.equal(file.writes, 1);
  assert.equal(await pass(600), 2);
  assert.match(file.text ?? '', /"test-50"/);
  assert.equal(await pass(5_000), 2);
  await snapshot[Symbol.asyncDispose]();
  assert.equal(file.writes, 2);
});

test('a snapshot that cannot be written is told of, and the next one is tried', async () => {
  const file = memoryFile();
  let isFull = true;
  const write = file.write.bind(file);
  const { snapshot, lines, clock, timers } = open({
    read: () => file.read(),
    write: (text) => (isFull ? Promise.reject(new Error('disk full')) : write(text)),
  });
  snapshot.all([]);
  timers.tick();
  clock.advance(100);
  timers.tick();
  await turn();
  assert.match(lines.join(''), /disk full.*policy_snapshot_failed/);
  isFull = false;
  snapshot.changed(live('test', 1));
  await snapshot[Symbol.asyncDispose]();
  assert.equal(file.writes, 1);
});

async function writtenBy(source: PolicySource['kind']): Promise<string> {
  const file = memoryFile();
  const { snapshot } = open(file, source);
  snapshot.all([live('test', 3)]);
  await snapshot[Symbol.asyncDispose]();
  return file.text ?? '';
}

const UNUSABLE: readonly (readonly [what: string, change: (text: string) => string, source?: PolicySource['kind']])[] =
  [
    ['an empty file', () => ''],
    ['half a file', (text) => text.slice(0, text.length / 2)],
    ['another document under the checksum', (text) => text.replace('test-3', 'test-4')],
    ['no JSON', () => 'policies'],
    ['the snapshot of another kind of source', (text) => text, 'heir'],
  ];

for (const [what, change, source] of UNUSABLE) {
  test(`${what} is no snapshot`, async () => {
    const { replica, snapshot, lines } = open(memoryFile(change(await writtenBy(source ?? 'kv'))));
    await snapshot.restore();
    assert.equal(replica.isReady, false);
    assert.match(lines.join(''), /policy_snapshot_refused/);
  });
}

test('without a file there is nothing to restore, and that is no fault', async () => {
  const { replica, snapshot, lines } = open(memoryFile());
  await snapshot.restore();
  assert.deepEqual([replica.isReady, lines], [false, []]);
});
