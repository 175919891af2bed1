import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { RecentWrites, type Repairable } from './recent-writes.ts';

type Stood = Awaited<ReturnType<Repairable['find']>>;

/** A bucket that shows what the test says, and gives revisions from 101 on. */
function bucketOf(shown: Readonly<Record<string, Stood>>) {
  const written: unknown[] = [];
  const dropped: string[] = [];
  const now: Record<string, Stood> = { ...shown };
  const bucket: Repairable = {
    find: async (key) => now[key],
    update: async (key, value, revision) => {
      written.push([key, value, revision]);
      const own = 100 + written.length;
      now[key] = at(own, value);
      return own;
    },
    drop: async (key, revision) => void dropped.push(`${key} ${revision}`),
  };
  return { bucket, written, dropped };
}
const at = (revision: number, value: string): NonNullable<Stood> => ({ revision, value, deleted: false });
const open = (clock = new ManualClock(0)) => new RecentWrites(clock, (ours, standing) => ours > standing);

test('what is missing is written again in place of nothing or of what is older, the newest first', async () => {
  const writes = open();
  writes.add('absent', 'a1', 1, false);
  writes.add('older', 's1', 2, false);
  writes.add('older', 's2', 5, false);
  writes.add('there', 't1', 4, false);
  writes.add('newer', 'n1', 7, false);
  writes.add('deleted', 'd1', 8, false);
  writes.add('only put', 'p1', 9, true);
  writes.add('created and put', 'p1', 10, false);
  writes.add('created and put', 'p2', 12, true);
  writes.add('erased', 'e1', 11, false);
  writes.forget('erased');
  const { bucket, written } = bucketOf({
    older: at(2, 's1'),
    there: at(4, 't1'),
    newer: at(20, 'n2'),
    deleted: { revision: 30, value: '', deleted: true },
    'created and put': at(10, 'p1'),
  });
  assert.equal(await writes.repair(bucket), 3);
  assert.deepEqual(written, [
    ['created and put', 'p2', 10],
    ['older', 's2', 2],
    ['absent', 'a1', 0],
  ]);
});

test('two that wrote one after the other come to the same, whoever looks first', async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const both = [open(), open()];
    both[0]?.add('a', 's1', 2, false);
    both[1]?.add('a', 's2', 3, false);
    const shown: Record<string, Stood> = { a: at(1, 's0') };
    let last = 3;
    const bucket: Repairable = {
      find: async (key) => shown[key],
      update: async (key, value) => {
        shown[key] = at(++last, value);
        return last;
      },
      drop: async () => undefined,
    };
    // eslint-disable-next-line no-await-in-loop -- one after the other
    for (const index of order) await both[index]?.repair(bucket);
    assert.equal(shown['a']?.value, 's2');
  }
});

test('what was written again is looked up again, under its new revision', async () => {
  const writes = open();
  writes.add('a', 's2', 5, false);
  assert.equal(await writes.repair(bucketOf({ a: at(2, 's1') }).bucket), 1);
  assert.equal(await writes.repair(bucketOf({ a: at(101, 's2') }).bucket), 0, 'it is there');
  assert.equal(await writes.repair(bucketOf({ a: at(2, 's1') }).bucket), 1, 'lost a second time');
});

test('an entry that is stored and not shown is dropped before it is written again', async () => {
  const writes = open();
  writes.add('a', 's2', 5, false);
  const { bucket, dropped } = bucketOf({ a: at(2, 's1') });
  assert.equal(await writes.repair(bucket), 1);
  assert.deepEqual(dropped, ['a 5']);
});

test('where the older entry is still shown, both go, and it is written in place of nothing', async () => {
  const writes = open();
  writes.add('a', 's2', 5, false);
  const { bucket, written, dropped } = bucketOf({ a: at(2, 's1') });
  assert.equal(await writes.repair({ ...bucket, find: async () => at(2, 's1') }), 1);
  assert.deepEqual(dropped, ['a 5', 'a 2', 'a 101']);
  assert.deepEqual(written, [
    ['a', 's2', 2],
    ['a', 's2', 0],
  ]);
});

test('what others take away just after it was written again stays away', async () => {
  const writes = open();
  writes.add('a', 's2', 5, false);
  const { bucket, written } = bucketOf({});
  assert.equal(await writes.repair({ ...bucket, find: async () => undefined }), 1);
  assert.deepEqual(written, [['a', 's2', 0]]);
});

test('a server is behind where it shows what an entry of this process superseded, under a lower number', () => {
  const writes = open();
  writes.add('a', 's3', 9, false);
  const shown = [at(4, 's1'), at(9, 's3'), at(12, 's1'), at(4, 's9')] as const;
  assert.deepEqual(
    shown.map((one) => writes.isBehind('a', one)),
    [true, false, false, false],
  );
  assert.equal(writes.isBehind('unknown', shown[0]), false);
});

test('one of a key that nobody knew of and that comes to light while it is mended goes too', async () => {
  const writes = open();
  writes.add('a', 's3', 9, false);
  const stack = [at(4, 's1'), at(6, 's2')];
  let next = 20;
  const bucket: Repairable = {
    find: async () => stack[0],
    update: async (_, value, revision) => {
      if (revision !== (stack[0]?.revision ?? 0)) throw new BeamlineError('precondition_failed', 'no');
      next++;
      if (stack.length === 0) stack.push(at(next, value));
      return next;
    },
    drop: async (_, revision) => void (stack[0]?.revision === revision && stack.shift()),
  };
  await writes.mend('a', bucket);
  assert.deepEqual(stack, [at(next, 's3')]);
  assert.equal(writes.isBehind('a', at(next, 's3')), false);
});

test('what is as good as ever is not mended', async () => {
  const writes = open();
  writes.add('a', 's3', 9, false);
  const { bucket, written } = bucketOf({ a: at(9, 's3') });
  await writes.mend('a', bucket);
  assert.deepEqual(written, []);
});

test('somebody who is faster wins, and another fault is thrown', async () => {
  const writes = open();
  writes.add('a', 'a1', 1, false);
  const refusing = (code: 'precondition_failed' | 'unavailable'): Repairable => ({
    find: async () => undefined,
    update: () => Promise.reject(new BeamlineError(code, 'no')),
    drop: async () => undefined,
  });
  assert.equal(await writes.repair(refusing('precondition_failed')), 0);
  await assert.rejects(writes.repair(refusing('unavailable')), { code: 'unavailable' });
});

test('what is written while it is looked up is left to who wrote it', async () => {
  const writes = open();
  writes.add('a', 'a1', 1, false);
  const { bucket, written } = bucketOf({});
  const find: Repairable['find'] = async (key) => {
    writes.add(key, 'a2', 2, false);
    return undefined;
  };
  assert.equal(await writes.repair({ ...bucket, find }), 0);
  assert.deepEqual(written, []);
});

test('a minute of it is kept, and so much', async () => {
  const clock = new ManualClock(0);
  const writes = open(clock);
  writes.add('old', 'o', 1, false);
  clock.advance(59_999);
  writes.add('young', 'y', 2, false);
  assert.equal(writes.size, 2);
  clock.advance(1);
  writes.add('new', 'n', 3, false);
  assert.equal(writes.size, 2);
  const large = 'x'.repeat(6_000_000);
  for (const key of ['a', 'b', 'c']) writes.add(key, large, 4, false);
  assert.equal(writes.size, 2);
  const { bucket, written } = bucketOf({});
  await writes.repair(bucket);
  assert.deepEqual(
    written.map((one) => (one as [string])[0]),
    ['c', 'b'],
  );
});
