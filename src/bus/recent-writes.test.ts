import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { RecentWrites, type Repairable } from './recent-writes.ts';

interface Stood {
  readonly revision: number;
  readonly deleted: boolean;
}

/** A bucket that shows what the test says, under revisions from 100 on. */
function bucketOf(shown: Readonly<Record<string, Stood | undefined>>) {
  const written: unknown[] = [];
  const bucket: Repairable = {
    find: async (key) => shown[key],
    update: async (key, value, revision) => {
      written.push([key, value, revision]);
      return 100 + written.length;
    },
  };
  return { bucket, written };
}
const at = (revision: number): Stood => ({ revision, deleted: false });

test('what is missing is written again over what it replaced, and nothing else', async () => {
  const writes = new RecentWrites(new ManualClock(0));
  writes.add('created', 'c1', 1, 0);
  writes.add('changed', 's1', 2, 0);
  writes.add('changed', 's2', 5, 2);
  writes.add('older', 's1', 3, 0);
  writes.add('older', 's2', 6, 3);
  writes.add('there', 't1', 4, 0);
  writes.add('newer', 'n1', 7, 0);
  writes.add('deleted', 'd1', 8, 0);
  writes.add('put', 'p1', 9);
  writes.add('created and put', 'p1', 10, 0);
  writes.add('created and put', 'p2', 12);
  writes.add('erased', 'e1', 11, 0);
  writes.forget('erased');
  const { bucket, written } = bucketOf({
    changed: at(2),
    there: at(4),
    newer: at(20),
    deleted: { revision: 30, deleted: true },
    'created and put': at(10),
  });
  assert.equal(await writes.repair(bucket), 4);
  assert.deepEqual(written, [
    ['created', 'c1', 0],
    ['changed', 's2', 2],
    ['older', 's2', 0],
    ['created and put', 'p2', 10],
  ]);
});

test('what was written again is looked up again, under its new revision', async () => {
  const writes = new RecentWrites(new ManualClock(0));
  writes.add('a', 's2', 5, 2);
  const first = bucketOf({ a: at(2) });
  assert.equal(await writes.repair(first.bucket), 1);
  assert.equal(await writes.repair(bucketOf({ a: at(101) }).bucket), 0, 'it is there');
  assert.equal(await writes.repair(bucketOf({ a: at(2) }).bucket), 1, 'lost a second time');
});

test('somebody who is faster wins, and another fault is thrown', async () => {
  const writes = new RecentWrites(new ManualClock(0));
  writes.add('a', 'a1', 1, 0);
  const refusing = (code: 'precondition_failed' | 'unavailable'): Repairable => ({
    find: async () => undefined,
    update: () => Promise.reject(new BeamlineError(code, 'no')),
  });
  assert.equal(await writes.repair(refusing('precondition_failed')), 0);
  await assert.rejects(writes.repair(refusing('unavailable')), { code: 'unavailable' });
});

test('what is written while it is looked up is left to who wrote it', async () => {
  const writes = new RecentWrites(new ManualClock(0));
  writes.add('a', 'a1', 1, 0);
  const { bucket, written } = bucketOf({});
  const find: Repairable['find'] = async (key) => {
    writes.add(key, 'a2', 2, 1);
    return undefined;
  };
  assert.equal(await writes.repair({ ...bucket, find }), 0);
  assert.deepEqual(written, []);
});

test('a minute of it is kept, and so much', async () => {
  const clock = new ManualClock(0);
  const writes = new RecentWrites(clock);
  writes.add('old', 'o', 1, 0);
  clock.advance(59_999);
  writes.add('young', 'y', 2, 0);
  assert.equal(writes.size, 2);
  clock.advance(1);
  writes.add('new', 'n', 3, 0);
  assert.equal(writes.size, 2);
  const large = 'x'.repeat(6_000_000);
  for (const key of ['a', 'b', 'c']) writes.add(key, large, 4, 0);
  assert.equal(writes.size, 2);
  const { bucket, written } = bucketOf({});
  await writes.repair(bucket);
  assert.deepEqual(
    written.map((one) => (one as [string])[0]),
    ['b', 'c'],
  );
});
