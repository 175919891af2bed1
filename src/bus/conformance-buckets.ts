// Conformance of key-value buckets.
import assert from 'node:assert/strict';
import { type BucketSpec, keyOf, keyPattern } from '../contracts/bucket.ts';
import type { Entry } from './bus.ts';
import { type Case, refused, until } from './conformance-fixture.ts';

const spec: BucketSpec = { name: 'policies', bytesMax: 1_048_576 };
const key = keyOf('acme', 'default');

const illegalKeys: readonly string[] = [
  '',
  ' ',
  'a b',
  '.a',
  'a.',
  'a..b',
  'a.*',
  '>',
  'a\r\nb',
  'a\u0000',
  'a/b',
  'größe',
  'x'.repeat(2_000),
];

export const bucketCases: readonly Case[] = [
  [
    'a value is read back by every process, with rising revisions',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      assert.equal(await ours.get(key), undefined);
      const first = await ours.put(key, '{"n":1}');
      assert.deepEqual(await theirs.get(key), { key, value: '{"n":1}', revision: first, deleted: false });
      const second = await theirs.put(keyOf('acme', 'a.b c'.replace(' ', '*')), 'größe €');
      assert.ok(second > first);
      assert.equal((await ours.get('acme.a=2Eb=2Ac'))?.value, 'größe €');
    },
  ],
  [
    'an entry has the time of its last write, by the clock of the server',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      assert.equal(await theirs.writtenMs(key), undefined);
      await ours.put(key, 'one');
      const first = await theirs.writtenMs(key);
      await ours.put(key, 'two');
      const second = await theirs.writtenMs(key);
      assert.ok(first !== undefined && second !== undefined && first <= second);
      assert.ok(Math.abs(second - Date.now()) < 60_000, 'the server is on this machine');
      await ours.delete(key);
      assert.equal(await theirs.writtenMs(key), undefined);
    },
  ],
  [
    'compare-and-set writes only over the revision that was read',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      const made = await ours.update(key, 'one', 0);
      await refused('precondition_failed', theirs.update(key, 'mine', 0));
      const next = await theirs.update(key, 'two', made);
      await refused('precondition_failed', ours.update(key, 'late', made));
      await refused('precondition_failed', ours.update(keyOf('acme', 'absent'), 'x', next));
      assert.equal((await ours.get(key))?.value, 'two');
    },
  ],
  [
    'a deleted key is absent and can be made again',
    async ({ bus }) => {
      const bucket = await bus.openBucket(spec);
      const made = await bucket.put(key, 'one');
      await bucket.delete(key);
      assert.equal(await bucket.get(key), undefined);
      await refused('precondition_failed', bucket.update(key, 'late', made));
      assert.ok((await bucket.update(key, 'two', 0)) > made);
      assert.equal((await bucket.get(key))?.value, 'two');
    },
  ],
  [
    'a list has everything that is there, and nothing that was deleted',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      assert.deepEqual(await theirs.entries(), []);
      const ids = Array.from({ length: 300 }, (_, n) => keyOf('acme', `p-${n}`));
      await Promise.all(ids.map((id) => ours.put(id, `value of ${id}`)));
      const last = await ours.put(key, 'one');
      await ours.delete(keyOf('acme', 'p-0'));
      const entries = await theirs.entries();
      assert.equal(entries.length, 300);
      assert.deepEqual(
        entries.find((entry) => entry.key === key),
        { key, value: 'one', revision: last, deleted: false },
      );
      assert.ok(!entries.some((entry) => entry.key === keyOf('acme', 'p-0')));
    },
  ],
  [
    'a list that is read one by one is whole, however long it is, and has keys without values',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      const revisions = new Map<string, number>();
      const put = async (id: string): Promise<void> => void revisions.set(id, await ours.put(id, `value of ${id}`));
      const ids = Array.from({ length: 1_500 }, (_, n) => keyOf('acme', `p-${n}`));
      await Promise.all([...ids.map(put), put(keyOf('umbrella', 'p-0'))]);
      const [gone = ''] = ids;
      await ours.delete(gone);
      revisions.delete(gone);
      const scanned = new Map<string, number>();
      for await (const { key: name, value, revision } of theirs.scan()) {
        assert.equal(value, `value of ${name}`);
        scanned.set(name, revision);
      }
      assert.deepEqual(scanned, revisions);
      const noted: string[] = [];
      for await (const { key: name, revision, writtenAtMs } of theirs.keys(keyPattern('acme', undefined))) {
        assert.equal(revision, revisions.get(name));
        assert.ok(Math.abs(writtenAtMs - Date.now()) < 60_000);
        noted.push(name);
      }
      assert.equal(noted.length, 1_499);
      for await (const { key: name } of theirs.scan()) {
        noted.push(name);
        break;
      }
      const empty = keyPattern('nobody', undefined);
      for await (const { key: name } of theirs.keys(empty)) noted.push(name);
      assert.equal(noted.length, 1_500);
    },
  ],
  [
    'an erased key takes no other from a list that is under way, and the list ends without it',
    async ({ bus, peer }) => {
      const large: BucketSpec = { name: 'snapshots', bytesMax: 33_554_432 };
      const [ours, theirs] = await Promise.all([bus.openBucket(large), peer.openBucket(large)]);
      const names = Array.from({ length: 120 }, (_, n) => keyOf('acme', `n-${n}`));
      const value = 'x'.repeat(100_000);
      await Promise.all(names.map((name) => ours.put(name, value)));
      const last = names.splice(-5);
      const left = new Set<string>(names);
      for await (const { key: name } of theirs.scan()) {
        left.delete(name);
        await Promise.all(last.splice(0).map((gone) => ours.erase(gone)));
      }
      assert.deepEqual([...left], []);
    },
  ],
  [
    'a list has every key that stands, and ends, while others write and erase beside it',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      const standing = Array.from({ length: 50 }, (_, n) => keyOf('acme', `standing-${n}`)).sort();
      await Promise.all(standing.map((name) => ours.put(name, 'x')));
      const writers = [ours, theirs].flatMap((bucket, b) =>
        [1, 2].map(async (w) => {
          /* oxlint-disable no-await-in-loop -- one after the other, beside the lists */
          for (let n = 0; n < 150; n++) {
            const passing = keyOf('acme', `passing-${b}-${w}-${n % 20}`);
            await bucket.put(passing, `${n}`);
            await bucket.put(standing[n % standing.length] ?? passing, `${n}`);
            if (n % 3 > 0) await bucket.erase(passing);
          }
        }),
      );
      const lists = [ours, theirs].map(async (bucket) => {
        for (let n = 0; n < 20; n++) {
          const listed = (await bucket.entries()).map(({ key: name }) => name);
          assert.deepEqual(listed.filter((name) => name.includes('standing')).sort(), standing);
        }
      });
      /* oxlint-enable no-await-in-loop */
      await Promise.all([...writers, ...lists]);
    },
  ],
  [
    'the status of a bucket tells its last revision, and what it weighs of what it may',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      assert.deepEqual(await theirs.status(), { revision: 0, bytes: 0, bytesMax: spec.bytesMax });
      const revision = await ours.put(key, 'x'.repeat(1_000));
      const status = await theirs.status();
      assert.deepEqual([status.revision, status.bytes > 1_000 && status.bytes < 1_300], [revision, true]);
    },
  ],
  [
    'a watcher that names a revision sees only what is newer',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      await ours.put(keyOf('a'), '1');
      const { revision } = await theirs.status();
      await ours.put(keyOf('b'), '2');
      const seen: string[] = [];
      const watching = new AbortController();
      const watch = (async () => {
        for await (const { value } of theirs.watch(watching.signal, undefined, revision)) seen.push(value);
      })();
      await until('what is newer', () => seen.length === 1);
      await ours.put(keyOf('a'), '3');
      await until('the change', () => seen.length === 2);
      watching.abort();
      await watch;
      assert.deepEqual(seen, ['2', '3']);
    },
  ],
  [
    'a watcher sees what is there, then every change, until its signal',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      await ours.put(keyOf('a'), '1');
      await ours.put(keyOf('b'), '2');
      const seen: string[] = [];
      const watching = new AbortController();
      const note = ({ key: name, value, deleted }: Entry): void =>
        void seen.push(deleted ? `-${name}` : `${name}=${value}`);
      const watch = (async () => {
        for await (const entry of theirs.watch(watching.signal)) note(entry);
      })();
      await until('what is there', () => seen.length === 2);
      await ours.put(keyOf('a'), '3');
      await ours.delete(keyOf('b'));
      await until('the changes', () => seen.length === 4);
      watching.abort();
      await watch;
      assert.deepEqual(seen, ['a=1', 'b=2', 'a=3', '-b']);
    },
  ],
  [
    'a pattern narrows a list and a watch to its keys',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      const pattern = keyPattern(undefined, undefined, 'open');
      assert.deepEqual(await theirs.entries(pattern), []);
      await ours.put(keyOf('acme', 'one', 'req'), '0');
      assert.deepEqual(await theirs.entries(pattern), []);
      await ours.put(keyOf('acme', 'one', 'open'), '1');
      await ours.put(keyOf('umbrella', 'two', 'open'), '2');
      await ours.put(keyOf('acme', 'three', 'open', 'deeper'), '3');
      const values = async (of: string | undefined) =>
        (await theirs.entries(keyPattern(of, undefined, 'open'))).map(({ value }) => value);
      assert.deepEqual([await values(undefined), await values('acme')], [['1', '2'], ['1']]);
      const seen: string[] = [];
      const watching = new AbortController();
      const watch = (async () => {
        for await (const { value, deleted } of theirs.watch(watching.signal, keyPattern('acme', undefined, 'open')))
          seen.push(deleted ? 'deleted' : value);
      })();
      await until('what is there', () => seen.length === 1);
      await ours.put(keyOf('umbrella', 'two', 'open'), '4');
      await ours.put(keyOf('acme', 'one', 'req'), '5');
      await ours.delete(keyOf('acme', 'one', 'open'));
      await ours.put(keyOf('acme', 'one', 'open'), '6');
      await until('the changes', () => seen.length === 3);
      watching.abort();
      await watch;
      assert.deepEqual(seen, ['1', 'deleted', '6']);
    },
  ],
  [
    'an erased key leaves nothing, and can be made again',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      const made = await ours.update(key, 'one', 0);
      await ours.put(keyOf('acme', 'other'), 'kept');
      await ours.erase(key);
      await ours.erase(keyOf('acme', 'absent'));
      assert.equal(await theirs.get(key), undefined);
      assert.deepEqual(
        (await theirs.entries()).map(({ value }) => value),
        ['kept'],
      );
      assert.ok((await ours.update(key, 'two', 0)) > made);
    },
  ],
  [
    'what was written to be erased soon is an entry like others until then, and leaves nothing',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      const kept = keyOf('acme', 'kept');
      const made = await ours.putPassing(key, 'one');
      await ours.put(kept, 'kept');
      assert.equal((await theirs.get(key))?.revision, made);
      const again = await ours.putPassing(key, 'two');
      assert.ok(again > made);
      await ours.erase(key);
      await ours.erase(key);
      assert.equal(await theirs.get(key), undefined);
      assert.ok((await theirs.update(key, 'three', 0)) > again);
      assert.equal((await theirs.get(kept))?.value, 'kept');
    },
  ],
  [
    'a bucket that keeps what was replaced shows the last of each key, and nothing of one that is gone',
    async ({ bus, peer }) => {
      const lasting: BucketSpec = { ...spec, name: 'jobs', history: 4 };
      const [ours, theirs] = await Promise.all([bus.openBucket(lasting), peer.openBucket(lasting)]);
      const [deleted, erased] = [keyOf('acme', 'deleted'), keyOf('acme', 'erased')];
      for (const one of [key, deleted, erased]) {
        // eslint-disable-next-line no-await-in-loop -- so that their revisions are known
        const made = await ours.update(one, 'first', 0);
        // eslint-disable-next-line no-await-in-loop -- as above
        await theirs.update(one, 'second', made);
      }
      await ours.delete(deleted);
      await ours.erase(erased);
      const listed = [...(await theirs.entries())];
      for await (const entry of theirs.scan()) listed.push(entry);
      assert.deepEqual(
        listed.map(({ key: one, value }) => [one, value]),
        [
          [key, 'second'],
          [key, 'second'],
        ],
      );
      const keys: string[] = [];
      for await (const note of theirs.keys(keyPattern('acme', undefined))) keys.push(note.key);
      assert.deepEqual(keys, [key]);
      assert.deepEqual([await theirs.get(deleted), await theirs.get(erased)], [undefined, undefined]);
      assert.ok((await theirs.update(erased, 'third', 0)) > 0);
    },
  ],
  [
    'a watcher of an empty bucket waits, and ends with its signal',
    async ({ bus }) => {
      const bucket = await bus.openBucket(spec);
      const watching = new AbortController();
      const next = bucket.watch(watching.signal)[Symbol.asyncIterator]().next();
      await bus.flush();
      watching.abort();
      assert.equal((await next).done, true);
    },
  ],
  [
    'draining the bus ends its watchers',
    async ({ bus }) => {
      const bucket = await bus.openBucket(spec);
      await bucket.put(key, 'one');
      const watch = bucket.watch(new AbortController().signal)[Symbol.asyncIterator]();
      assert.equal((await watch.next()).done, false);
      const next = watch.next();
      await bus.drain();
      assert.equal((await next).done, true);
    },
  ],
  [
    'an entry expires after its last write',
    async ({ bus }) => {
      const bucket = await bus.openBucket({ ...spec, name: 'presence', ttlMs: 300 });
      const made = await bucket.put(key, 'here');
      await until('it is gone', async () => (await bucket.get(key)) === undefined);
      await refused('precondition_failed', bucket.update(key, 'late', made));
      await bucket.update(key, 'again', 0);
    },
  ],
  [
    'a full bucket refuses',
    async ({ bus }) => {
      const bucket = await bus.openBucket({ ...spec, bytesMax: 8_192 });
      const fault = await refused('unavailable', bucket.put(key, 'x'.repeat(10_000)));
      assert.equal(fault.details['reason'], 'stream_full');
      await bucket.put(key, 'small');
    },
  ],
  [
    'only the owner of a bucket changes its bounds, and none that it has is lost',
    async ({ bus, peer }) => {
      const [ours, theirs] = await Promise.all([bus.openBucket(spec), peer.openBucket(spec)]);
      await ours.put(key, 'x'.repeat(3_000));
      const bytesMaxOf = async (own: Partial<BucketSpec>): Promise<number> => {
        const bucket = await bus.openBucket({ ...spec, ...own });
        return (await bucket.status()).bytesMax;
      };
      assert.equal(await bytesMaxOf({ bytesMax: 8_192 }), spec.bytesMax);
      assert.equal(await bytesMaxOf({ bytesMax: 8_192, ttlMs: 3_600_000, isOwn: true }), 8_192);
      assert.equal(await bytesMaxOf({}), 8_192);
      assert.ok((await bytesMaxOf({ bytesMax: 1_024, isOwn: true })) >= 1_024);
      assert.equal((await theirs.get(key))?.value.length, 3_000);
    },
  ],
  [
    'illegal keys and names of buckets are refused',
    async ({ bus }) => {
      const bucket = await bus.openBucket(spec);
      await Promise.all(
        illegalKeys.flatMap((illegal) => [
          refused('invalid_request', bucket.get(illegal)),
          refused('invalid_request', bucket.put(illegal, '')),
          refused('invalid_request', bucket.update(illegal, '', 0)),
          refused('invalid_request', bucket.delete(illegal)),
          refused('invalid_request', bucket.erase(illegal)),
        ]),
      );
      const names = ['', 'a.b', 'a b', '*', 'x'.repeat(65)];
      await Promise.all(names.map((name) => refused('invalid_request', bus.openBucket({ ...spec, name }))));
    },
  ],
];
