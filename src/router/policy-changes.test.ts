import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyChanges, type PolicyRef } from './policy-changes.ts';
import { live, recordOf, tombstone } from './policy-fixture.ts';

const named = (refs: ReturnType<PolicyChanges['since']>): unknown =>
  typeof refs === 'string' ? refs : refs.map(({ policy_id }: PolicyRef) => policy_id);

test('replicas that hold the same stand at the same place, in whatever order it came', () => {
  const [one, other] = [new PolicyChanges(), new PolicyChanges()];
  assert.equal(one.place, 0);
  one.changed(live('a', 1), undefined);
  one.changed(live('b', 4), undefined);
  one.changed(live('a', 2), live('a', 1));
  other.changed(live('a', 2), undefined);
  other.changed(live('b', 4), undefined);
  assert.equal(one.place, other.place);
  const third = new PolicyChanges();
  third.changed(live('a', 3), undefined);
  third.changed(live('b', 3), undefined);
  assert.notEqual(third.place, one.place, 'the same sum of revisions');
});

test('a place grows with every change, and what changed since is told in order', () => {
  const changes = new PolicyChanges();
  const places = [changes.place];
  for (const [record, before] of [
    [live('a', 1), undefined],
    [live('b', 1), undefined],
    [tombstone('a', 2), live('a', 1)],
    [recordOf('c', 7, {}, 'oak'), undefined],
  ] as const) {
    changes.changed(record, before);
    places.push(changes.place);
  }
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(places).size, places.length);
  const [, first = 0, , third = 0, last = 0] = places;
  assert.deepEqual(named(changes.since(first)), ['b', 'a', 'c']);
  assert.deepEqual(named(changes.since(third)), ['c']);
  assert.deepEqual(named(changes.since(last)), []);
});

test('what is not known is too old, or ahead', () => {
  const changes = new PolicyChanges();
  changes.changed(live('a', 1), undefined);
  const { place } = changes;
  assert.equal(changes.since(place - 1), 'too_old');
  assert.equal(changes.since(place + 1), 'ahead');
  for (let revision = 2; revision <= 1_025; revision++) changes.changed(live('a', revision), live('a', revision - 1));
  assert.equal(named(changes.since(place)) instanceof Array, true);
  changes.changed(live('a', 1_026), live('a', 1_025));
  assert.equal(changes.since(place), 'too_old');
});

test('what is gone without a tombstone makes every earlier place too old', () => {
  const changes = new PolicyChanges();
  changes.changed(live('a', 1), undefined);
  const before = changes.place;
  changes.changed(live('b', 1), undefined);
  changes.changed(live('c', 1), undefined);
  changes.removed(live('b', 1));
  assert.equal(changes.since(before), 'too_old');
  assert.deepEqual(named(changes.since(changes.place)), []);
});
