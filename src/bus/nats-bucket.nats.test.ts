// Buckets of a real server that are large, or full.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import { keyOf } from '../contracts/bucket.ts';
import { systemClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openGround, until } from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';

let server: NatsServer;
before(async () => {
  server = await startNatsServer();
});
after(() => server[Symbol.asyncDispose]());

test('a bucket that is full of small entries refuses more, and loses none that it has', async () => {
  using ground = openGround();
  await using bus = await openNatsBus({ url: server.url, name: 'full', ...ground });
  const bucket = await bus.openBucket({ name: 'full', bytesMax: 300_000 });
  let fault: unknown;
  let made = 0;
  // A server of 2.9 would take them for ever, and drop the oldest ones.
  while (fault === undefined && made < 5_000) {
    const ids = Array.from({ length: 20 }, (_, n) => keyOf('acme', `an-id-that-has-some-length-${made + n}`));
    // eslint-disable-next-line no-await-in-loop -- a few at a time
    await Promise.all(ids.map((id) => bucket.put(id, 'mark'))).catch((thrown: unknown) => {
      fault = thrown;
    });
    made += ids.length;
  }
  assert.equal(BeamlineError.from(fault).details['reason'], 'stream_full');
  assert.equal((await bucket.get(keyOf('acme', 'an-id-that-has-some-length-0')))?.value, 'mark');
  const { bytes, bytesMax } = await bucket.status();
  assert.ok(bytes > 0.9 * bytesMax, `${bytes} of ${bytesMax}`);
});

test('a list may take as long as its reader needs', async () => {
  let aheadMs = 0;
  const clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + aheadMs,
    epochMs: () => systemClock.epochMs() + aheadMs,
  };
  using ground = openGround();
  using timers = new Timers(clock);
  await using bus = await openNatsBus({ url: server.url, name: 'slow', ...ground, timers });
  const bucket = await bus.openBucket({ name: 'slow', bytesMax: 1_048_576 });
  await Promise.all(Array.from({ length: 200 }, (_, n) => bucket.put(keyOf('acme', `${n}`), 'value')));
  let count = 0;
  for await (const _ of bucket.scan()) {
    count++;
    aheadMs += 10_000;
    if (count % 50 === 0) timers.tick();
  }
  assert.equal(count, 200);
});

test('the number of what was written to be erased is good for its connection alone', async () => {
  using ground = openGround();
  await using own = await startNatsServer();
  await using bus = await openNatsBus({ url: own.url, name: 'passing', ...ground });
  const [first, second, third] = ['first', 'second', 'third'].map((id) => keyOf('acme', id));
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  const bucket = await bus.openBucket({ name: 'passing', bytesMax: 1_048_576 });
  const watched = await openNatsBus({ url: own.url, name: 'other', ...ground });
  const other = await watched.openBucket({ name: 'passing', bytesMax: 1_048_576 });
  await bucket.putPassing(first, 'ours');
  await other.put(first, 'theirs');
  await bucket.erase(first);
  assert.equal((await bucket.get(first))?.value, 'theirs', 'only what was written here is known by its number');
  await bucket.erase(first);
  assert.equal(await bucket.get(first), undefined, 'once: now it was looked for');

  await bucket.putPassing(second, 'before');
  await own.restart();
  await until('a new connection', () => bus.state === 'connected' && watched.state === 'connected');
  await other.put(second, 'after');
  await bucket.putPassing(third, 'of the new connection');
  await bucket.erase(second);
  assert.equal(await bucket.get(second), undefined, 'it was looked for');
  await bucket.erase(third);
  assert.equal(await bucket.get(third), undefined);
  await watched.drain();
});

test('what an entry replaced stays with a server until it is to go, and goes with the entry', async () => {
  using ground = openGround();
  await using bus = await openNatsBus({ url: server.url, name: 'history', ...ground });
  const bucket = await bus.openBucket({ name: 'history', bytesMax: 1_048_576, history: 4 });
  await using nc = await connect({ servers: server.url });
  const { streams } = await jetstreamManager(nc);
  const stored = async (): Promise<number> => (await streams.info('KV_beamline_history')).state.messages;
  const [changed, deleted, erased] = [keyOf('changed'), keyOf('deleted'), keyOf('erased')];
  for (const key of [changed, deleted, erased]) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    await bucket.put(key, 'first');
    // eslint-disable-next-line no-await-in-loop -- as above
    await bucket.put(key, 'second');
  }
  assert.equal(await stored(), 6);
  await bucket.forgetReplaced(changed);
  await bucket.delete(deleted);
  await bucket.erase(erased);
  assert.equal(await stored(), 2, 'an entry and the mark of a deletion');
  assert.equal((await bucket.get(changed))?.value, 'second');
});
