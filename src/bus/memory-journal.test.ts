import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { keyOf } from '../contracts/bucket.ts';
import { at } from '../contracts/contract.ts';
import { execResult, type ExecResult } from '../contracts/result.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import type { Bus, Undeliverable } from './bus.ts';
import { testBus } from './conformance.ts';
import { correlation, openGround, refused, until } from './conformance-fixture.ts';
import { type BusJournalOptions, openBusJournal } from './memory-journal.ts';
import { openMemoryBus } from './memory.ts';

const queue: StreamSpec = {
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: 16_777_216,
};
const limits: StreamSpec = { ...queue, retention: 'limits', ageMsMax: 3_600_000 };
const consumer: ConsumerSpec = { durable: 'router-results', ackWaitMs: 30_000, ackPendingMax: 100, nakDelaysMs: [10] };
const result = (id: string): ExecResult => ({ assignment_id: id, tenant_id: 'acme', status: 'success' });
const append = (bus: Bus, id: string) =>
  bus.append(at(execResult), result(id), { messageId: id, timeoutMs: 5_000, correlation });

function newFolder(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-bus-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Life extends AsyncDisposable {
  readonly bus: Bus;
  readonly metrics: () => string;
}

/** A process on the folder, from its start to its end. */
async function live(folder: string, options: Partial<BusJournalOptions> = {}): Promise<Life> {
  const ground = openGround();
  const journal = await openBusJournal({ folder, ...ground, ...options });
  const bus = openMemoryBus({ ...ground, ...options, journal });
  return {
    bus,
    metrics: () => ground.metrics.render(),
    async [Symbol.asyncDispose]() {
      await bus.drain();
      ground[Symbol.dispose]();
    },
  };
}

/** Consumes with an acknowledgement of those that `isDone` names. */
async function consume(
  bus: Bus,
  stream: StreamSpec,
  isDone: (id: string) => boolean,
  spec: Partial<ConsumerSpec> = {},
) {
  const seen: string[] = [];
  const given: Undeliverable[] = [];
  const undeliverable = async (message: Undeliverable): Promise<void> => void given.push(message);
  const from = { stream, consumer: { ...consumer, ...spec }, message: execResult.message, undeliverable };
  await bus.consume(from, (delivery) => {
    const { assignment_id: id = '' } = delivery.message;
    seen.push(`${id}#${delivery.count}`);
    if (isDone(id)) delivery.ack();
  });
  return { seen, given };
}

testBus('memory with a journal', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-bus-'));
  const life = await live(folder, { stepBytes: 4_096 });
  return {
    ...life,
    peer: life.bus,
    async [Symbol.asyncDispose]() {
      await life[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});

test('a work queue goes on where it ended: what was acknowledged is gone, the rest is delivered again', async (t) => {
  const folder = newFolder(t);
  {
    await using life = await live(folder);
    const { seen } = await consume(life.bus, queue, (id) => id === 'b');
    await Promise.all(['a', 'b', 'c'].map((id) => append(life.bus, id)));
    await until('all three', () => seen.length === 3);
  }
  await using life = await live(folder);
  await life.bus.ensureStream(queue);
  const again = await append(life.bus, 'c');
  assert.deepEqual(again, { stream: 'CAF_RESULT', seq: 3, duplicate: true });
  assert.equal((await append(life.bus, 'd')).seq, 4);
  const { seen } = await consume(life.bus, queue, () => true);
  await until('what is left', () => seen.length === 3);
  assert.deepEqual(seen, ['a#1', 'c#1', 'd#1']);
  const [first] = await life.bus.read(queue, { fromSeq: 1, limit: 1 });
  assert.equal(first, undefined);
});

test('each durable consumer of a stream of limits keeps its own place, and the stream its messages', async (t) => {
  const folder = newFolder(t);
  {
    await using life = await live(folder);
    const one = await consume(life.bus, limits, (id) => id !== 'b', { durable: 'one' });
    const two = await consume(life.bus, limits, () => true, { durable: 'two' });
    await Promise.all(['a', 'b', 'c'].map((id) => append(life.bus, id)));
    await until('all', () => one.seen.length + two.seen.length === 6);
    assert.equal(await life.bus.trim(limits, 2), 1);
  }
  await using life = await live(folder);
  const one = await consume(life.bus, limits, () => true, { durable: 'one' });
  const two = await consume(life.bus, limits, () => true, { durable: 'two' });
  await append(life.bus, 'd');
  await until('the rest', () => one.seen.length + two.seen.length === 3);
  assert.deepEqual([one.seen, two.seen], [['b#1', 'd#1'], ['d#1']]);
  const stored = await life.bus.read(limits, { fromSeq: 1, limit: 9 });
  assert.deepEqual(
    stored.map(({ seq, headers }) => [seq, headers]),
    ['b', 'c', 'd'].map((id, n) => [n + 2, { trace_id: correlation.traceId, tenant_id: 'acme', 'Nats-Msg-Id': id }]),
  );
});

test('deliveries are counted beyond the process where there is a limit', async (t) => {
  const folder = newFolder(t);
  for (const count of [1, 2]) {
    // eslint-disable-next-line no-await-in-loop -- one life after the other
    await using life = await live(folder);
    // eslint-disable-next-line no-await-in-loop -- as above
    const { seen } = await consume(life.bus, queue, () => false, { deliveryLimit: 2 });
    // eslint-disable-next-line no-await-in-loop -- as above
    if (count === 1) await append(life.bus, 'bad');
    // eslint-disable-next-line no-await-in-loop -- as above
    await until('a delivery', () => seen.length === 1);
    assert.deepEqual(seen, [`bad#${count}`]);
  }
  await using life = await live(folder);
  const { seen, given } = await consume(life.bus, queue, () => false, { deliveryLimit: 2 });
  await until('it was given up', () => given.length === 1);
  assert.partialDeepStrictEqual(given, [{ seq: 1, count: 3, reason: 'exhausted' }]);
  assert.deepEqual(seen, []);
});

test('a bucket keeps its entries, its revisions and what it forgot', async (t) => {
  const folder = newFolder(t);
  const spec = { name: 'jobs', bytesMax: 1_048_576 };
  let revision: number;
  {
    await using life = await live(folder);
    const bucket = await life.bus.openBucket(spec);
    await bucket.put(keyOf('acme', 'a'), '1');
    await bucket.put(keyOf('acme', 'b'), 'größe "€"');
    await bucket.put(keyOf('acme', 'c'), '3');
    await bucket.delete(keyOf('acme', 'a'));
    await bucket.erase(keyOf('acme', 'c'));
    revision = await bucket.put(keyOf('acme', 'd'), '4');
    await bucket.erase(keyOf('acme', 'd'));
  }
  await using life = await live(folder);
  const bucket = await life.bus.openBucket(spec);
  assert.deepEqual(await bucket.entries(), [{ key: 'acme.b', value: 'größe "€"', revision: 2, deleted: false }]);
  assert.equal(await bucket.get(keyOf('acme', 'a')), undefined);
  assert.ok((await bucket.update(keyOf('acme', 'd'), 'new', 0)) > revision);
  await refused('precondition_failed', bucket.update(keyOf('acme', 'b'), 'late', 1));
});

test('entries and messages expire by the time that passed while nothing ran', async (t) => {
  const folder = newFolder(t);
  const clock = new ManualClock(1_700_000_000_000);
  using timers = new Timers(clock);
  const spec = { name: 'sticky', bytesMax: 1_048_576, ttlMs: 120_000 };
  const key = keyOf('acme', 'a');
  {
    await using life = await live(folder, { timers });
    await (await life.bus.openBucket(spec)).put(key, 'here');
    await (await life.bus.openBucket({ ...spec, name: 'presence', ttlMs: 15_000 })).put(key, 'here');
    await life.bus.ensureStream(limits);
    await append(life.bus, 'a');
  }
  clock.advance(60_000);
  {
    await using life = await live(folder, { timers });
    assert.equal((await (await life.bus.openBucket(spec)).get(key))?.value, 'here');
    assert.equal(await (await life.bus.openBucket({ ...spec, name: 'presence', ttlMs: 15_000 })).get(key), undefined);
    await life.bus.ensureStream(limits);
    const [stored] = await life.bus.read(limits, { fromSeq: 1, limit: 1 });
    assert.equal(stored?.storedAtMs, 1_700_000_000_000);
    assert.equal((await append(life.bus, 'a')).duplicate, true);
  }
  clock.advance(3_600_000);
  await using life = await live(folder, { timers });
  assert.equal(await (await life.bus.openBucket(spec)).get(key), undefined);
  await life.bus.ensureStream(limits);
  assert.deepEqual(await life.bus.read(limits, { fromSeq: 1, limit: 1 }), []);
  assert.deepEqual(await append(life.bus, 'a'), { stream: 'CAF_RESULT', seq: 2, duplicate: false });
});

test('the journal does not grow with what is over', async (t) => {
  const folder = newFolder(t);
  const spec = { name: 'jobs', bytesMax: 1_048_576 };
  {
    await using life = await live(folder, { stepBytes: 16_384 });
    const bucket = await life.bus.openBucket(spec);
    const { seen } = await consume(life.bus, queue, (id) => id !== 'kept');
    await append(life.bus, 'kept');
    for (let n = 0; n < 40; n++) {
      // eslint-disable-next-line no-await-in-loop -- so that it grows step by step
      await Promise.all([
        ...Array.from({ length: 20 }, (_, m) => append(life.bus, `m-${n}-${m}`)),
        bucket.put(keyOf('acme', 'one'), `${n} ${'x'.repeat(1_000)}`),
      ]);
    }
    await until('all handled', () => seen.length === 801);
    assert.match(life.metrics(), /journal_rewrites_total [1-9]/);
  }
  assert.ok(statSync(join(folder, 'journal')).size < 160_000, 'the messages alone were 200 kB');
  await using life = await live(folder);
  const { seen } = await consume(life.bus, queue, () => true);
  await until('what is left', () => seen.length === 1);
  assert.deepEqual(seen, ['kept#1']);
  const entries = await (await life.bus.openBucket(spec)).entries();
  assert.deepEqual([entries.length, entries[0]?.value.slice(0, 3), entries[0]?.revision], [1, '39 ', 40]);
  await life.bus.ensureStream(queue);
  assert.equal((await append(life.bus, 'm-39-19')).duplicate, true);
});

test('what finds no room in the journal is refused, and was never there', async (t) => {
  const folder = newFolder(t);
  await using life = await live(folder, { bytesMax: 4_000 });
  const bucket = await life.bus.openBucket({ name: 'jobs', bytesMax: 1_048_576 });
  await life.bus.ensureStream(queue);
  const first = await bucket.put('acme.a', 'x'.repeat(3_850));
  const fault = await refused('unavailable', append(life.bus, 'a'));
  assert.equal(fault.details['reason'], 'journal_full');
  await refused('unavailable', bucket.put('acme.b', 'y'.repeat(300)));
  assert.equal(await bucket.get('acme.b'), undefined);
  assert.ok((await bucket.put('acme.a', 'small')) > first);
  await until('room again', () =>
    append(life.bus, 'a').then(
      ({ duplicate }) => !duplicate,
      () => false,
    ),
  );
});

test('a folder has one bus at a time', async (t) => {
  const folder = newFolder(t);
  await using life = await live(folder);
  const fault = await refused('unavailable', live(folder));
  assert.equal(fault.details['reason'], 'folder_locked');
  assert.match(fault.message, /another process works with the folder/);
  assert.equal(life.bus.state, 'connected');
});

test('a process that is killed loses nothing that was acknowledged', async (t) => {
  const folder = newFolder(t);
  for (let life = 0; life < 3; life++) {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve('./memory-journal-child.ts')), folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    let last = { ids: [] as string[], seqs: [] as number[], round: -1, revision: 0 };
    let lines = 0;
    const exited = once(child, 'exit');
    for await (const line of createInterface({ input: child.stdout })) {
      last = JSON.parse(line) as typeof last;
      if (++lines === 30) child.kill('SIGKILL');
    }
    // eslint-disable-next-line no-await-in-loop -- one life after the other
    await exited;
    // eslint-disable-next-line no-await-in-loop -- as above
    await using after = await live(folder);
    // eslint-disable-next-line no-await-in-loop -- as above
    await after.bus.ensureStream(queue);
    // eslint-disable-next-line no-await-in-loop -- as above
    const stored = await after.bus.read(queue, { fromSeq: last.seqs[0] ?? 0, limit: 20 });
    assert.deepEqual(
      stored.map(({ seq }) => seq),
      last.seqs,
    );
    // eslint-disable-next-line no-await-in-loop -- as above
    const all = await after.bus.read(queue, { fromSeq: 1, limit: 1_000_000 });
    assert.deepEqual(
      all.map(({ seq }) => seq),
      all.map((_, n) => n + 1),
    );
    // eslint-disable-next-line no-await-in-loop -- as above
    const entry = await (await after.bus.openBucket({ name: 'jobs', bytesMax: 1_048_576 })).get('acme.one');
    assert.ok(
      entry !== undefined && entry.revision >= last.revision,
      'the write that was acknowledged, or a later one',
    );
  }
});
