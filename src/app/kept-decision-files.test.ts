import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { recordOf } from '../policy/decision-record.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import type { LogLine } from '../router/decision-log.ts';
import type { KeptRecord } from '../router/kept-records.ts';
import { openDecisionFiles } from './decision-files.ts';
import { keptDecisionFiles } from './kept-decision-files.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.parse('2026-01-30T12:00:00Z');
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };

function policyOf(revision: number, tenantId = 'kestrel'): Policy {
  const known = { knownProviders: new Set(['alder']), tenantId, policyId: 'default', revision };
  const parsed = parsePolicy({ version: '2.0', weights: { alder: 1 } }, known);
  assert.ok(parsed.kind === 'valid');
  return parsed.policy;
}

function lineOf(policy: Policy, requestId: string, more: Partial<Facts> = {}, epochMs = START_MS): LogLine {
  const facts = {
    requestId,
    tenantId: policy.tenantId,
    taskType: 'ai.chat',
    model: 'm',
    stream: false,
    context: {},
    ...more,
  };
  const record = recordOf(policy, facts, FIRST, decide(policy, facts, FIRST, false), epochMs);
  return { text: JSON.stringify(record), policy };
}

async function ground() {
  const dir = mkdtempSync(join(tmpdir(), 'beamline-kept-'));
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  const files = await openDecisionFiles({ dir, timers });
  return {
    dir,
    clock,
    files,
    kept: keptDecisionFiles(dir),
    async [Symbol.asyncDispose]() {
      await files[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

type Ground = Awaited<ReturnType<typeof ground>>;

/** What was found, with the revision that is known of it. */
const found = ({ kept }: Ground, tenant: string, request: string) =>
  [...kept.find(tenant, request)].flatMap((step) => {
    const { entry } = step ?? {};
    return entry?.type === 'decision' ? [[entry.facts.requestId, step?.own()?.revision]] : [];
  });

test('a request is found among others, in the day that it was, with the revision that decided it', async () => {
  await using it = await ground();
  const [old, fresh] = [policyOf(3), policyOf(4)];
  await it.files.write([lineOf(old, 'rq-1'), lineOf(fresh, 'rq-2'), lineOf(old, 'rq-3')]);
  it.clock.advance(DAY_MS);
  await it.files.write([lineOf(fresh, 'rq-4')]);
  assert.equal(readdirSync(it.dir).length, 2);
  assert.deepEqual(found(it, 'kestrel', 'rq-2'), [['rq-2', 4]]);
  assert.deepEqual(found(it, 'kestrel', 'rq-3'), [['rq-3', 3]]);
  assert.deepEqual(found(it, 'kestrel', 'rq-4'), [['rq-4', 4]]);
  assert.deepEqual(found(it, 'kestrel', 'rq-5'), []);
});

test('the attempts and ends of a request are found with its decision, in their order', async () => {
  await using it = await ground();
  const policy = policyOf(1);
  const about = { time_ms: START_MS, tenant_id: 'kestrel', request_id: 'rq-1', provider_id: 'alder' };
  const end = { type: 'outcome', ...about, attempt: 1, state: 'failed', latency_ms: 3 };
  const next = {
    type: 'attempt',
    ...about,
    policy_id: 'default',
    revision: 1,
    attempt: 2,
    reason: 'retry',
    after: 'X',
  };
  const lines = [lineOf(policy, 'rq-1'), lineOf(policy, 'rq-2')];
  await it.files.write([...lines, ...[end, next].map((one) => ({ text: JSON.stringify(one), policy: undefined }))]);
  const types = (steps: Iterable<KeptRecord | undefined>) =>
    [...steps].flatMap((step) => (step === undefined ? [] : [step.entry.type]));
  assert.deepEqual(types(it.kept.find('kestrel', 'rq-1')), ['decision', 'outcome', 'attempt']);
  const span = { fromMs: START_MS, toMs: START_MS };
  assert.deepEqual(types(it.kept.read(span)), ['decision', 'decision', 'outcome', 'attempt']);
});

test('an id in the content of another request, or in another tenant, is not found', async () => {
  await using it = await ground();
  const context = { note: '"requestId":"rq-1"', requestId: 'rq-1' };
  await it.files.write([lineOf(policyOf(1), 'rq-9', { context }), lineOf(policyOf(1, 'osprey'), 'rq-1')]);
  assert.deepEqual(found(it, 'kestrel', 'rq-1'), []);
  assert.deepEqual(found(it, 'osprey', 'rq-1'), [['rq-1', 1]]);
});

test('lines that reach over the pieces of a file, and a torn last one, are no hindrance', async () => {
  await using it = await ground();
  const policy = policyOf(1);
  for (let n = 0; n < 12; n++) {
    const context = { filler: 'x'.repeat(200_000) };
    // eslint-disable-next-line no-await-in-loop -- one write after the other, as the log does
    await it.files.write([lineOf(policy, `rq-${n}`, { context })]);
  }
  appendFileSync(join(it.dir, readdirSync(it.dir)[0] ?? ''), '{"type":"decision","facts":{"requestId":"rq-2"');
  for (const n of [0, 2, 5, 11]) assert.deepEqual(found(it, 'kestrel', `rq-${n}`), [[`rq-${n}`, 1]]);
  assert.equal([...it.kept.find('kestrel', 'nobody')].length, 3, 'a step for each piece');
});

test('a span reads the files of its days only', async () => {
  await using it = await ground();
  const policy = policyOf(1);
  for (let day = 0; day < 4; day++) {
    // eslint-disable-next-line no-await-in-loop -- a day after the other
    await it.files.write([lineOf(policy, `rq-${day}`, {}, START_MS + day * DAY_MS)]);
    it.clock.advance(DAY_MS);
  }
  const read = (fromMs: number, toMs: number) =>
    [...it.kept.read({ fromMs, toMs })].flatMap((step) =>
      step?.entry.type === 'decision' ? [[step.entry.facts.requestId, step.own()?.revision]] : [],
    );
  assert.deepEqual(read(START_MS + DAY_MS, START_MS + 2 * DAY_MS), [
    ['rq-1', 1],
    ['rq-2', 1],
  ]);
  assert.equal(read(0, 8.64e15).length, 4);
});

test('a directory that is gone is unavailable', async () => {
  const kept = keptDecisionFiles(join(tmpdir(), 'beamline-no-such-directory'));
  assert.throws(() => [...kept.find('kestrel', 'rq-1')], { code: 'unavailable' });
  assert.throws(() => [...kept.read({ fromMs: 0, toMs: 1 })], { code: 'unavailable' });
});
