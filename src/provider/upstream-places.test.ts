import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UpstreamPlaces } from './upstream-places.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('as many calls start as there are places, as many again wait in order, and one more is refused', async () => {
  const places = new UpstreamPlaces(2);
  const started: string[] = [];
  const call = (name: string) => ({ start: () => void started.push(name) });
  const [left, last] = [call('left'), call('last')];
  assert.deepEqual(
    [call('a'), call('b'), left, last, call('no')].map((each) => places.enter(each)),
    [true, true, true, true, false],
  );
  assert.deepEqual(started, [], 'nothing starts within the turn');
  await turn();
  assert.deepEqual(started, ['a', 'b']);
  places.leave(left);
  assert.equal(places.enter(call('later')), true, 'who left the line takes no room in it');
  places.release();
  await turn();
  assert.deepEqual(started, ['a', 'b', 'last']);
  assert.equal(places.clear().length, 1);
});

test('a call that was given up keeps its place until the pool lets it go', async () => {
  const places = new UpstreamPlaces(1);
  const call = { start: () => undefined };
  places.enter(call);
  places.leave(call);
  assert.deepEqual([places.enter({ ...call }), places.enter({ ...call })], [true, false]);
});
