import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../policy/decide.ts';
import { recordOf } from '../policy/decision-record.ts';
import { factsFor, FIRST, policyOf } from './admin-records-fixture.ts';
import { DecisionRing } from './decision-ring.ts';

const POLICY = policyOf({ alder: 1 });

const lineOf = (id: number) => {
  const facts = factsFor(`rq-${id}`);
  const record = recordOf(POLICY, facts, FIRST, decide(POLICY, facts, FIRST, false), id);
  return { text: JSON.stringify(record), policy: POLICY };
};
const timesIn = (ring: DecisionRing): readonly number[] => [...ring.read()].map((step) => step?.entry.time_ms ?? -1);

test('the newest lines are kept, as many and as large as they may be', async () => {
  const few = new DecisionRing({ linesMax: 10 });
  for (let id = 0; id < 1_000; id++) await few.write([lineOf(id)]);
  assert.deepEqual(timesIn(few), [990, 991, 992, 993, 994, 995, 996, 997, 998, 999]);
  const small = new DecisionRing({ charsMax: 3 * lineOf(0).text.length + 50 });
  await small.write(Array.from({ length: 9 }, (_, id) => lineOf(id)));
  assert.deepEqual(timesIn(small), [6, 7, 8]);
});

test('what is written while it is read does not move what is read', async () => {
  const ring = new DecisionRing({ linesMax: 3 });
  await ring.write([lineOf(1), lineOf(2), lineOf(3)]);
  const times: number[] = [];
  for (const step of ring.read()) {
    times.push(step?.entry.time_ms ?? -1);
    // eslint-disable-next-line no-await-in-loop -- between two steps, as decisions are
    await ring.write([lineOf(9)]);
  }
  assert.deepEqual(times, [1, 2, 3]);
});

test('a request is found with the policy that decided it', async () => {
  const ring = new DecisionRing();
  await ring.write([lineOf(1), lineOf(2)]);
  const found = [...ring.find('acme', 'rq-2')].filter((step) => step !== undefined);
  assert.deepEqual(
    found.map((step) => [step.entry.time_ms, step.own() === POLICY]),
    [[2, true]],
  );
  assert.deepEqual(
    [...ring.find('zeta', 'rq-2')].filter((step) => step !== undefined),
    [],
  );
});
