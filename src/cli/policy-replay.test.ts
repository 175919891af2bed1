import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openDecisionFiles } from '../app/decision-files.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { type DecisionRecord, type OutcomeRecord, recordOf } from '../policy/decision-record.ts';
import type { Snapshot } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import type { ReplayReport } from '../policy/replay.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const SNAPSHOT: Snapshot = {
  attempt: 1,
  failed: new Set(),
  failureWords: [],
  costMicroUsd: ({ name }) => (name === 'alder' ? 100 : 200),
};
const OLD = { version: '2.0', weights: { alder: 50, birch: 50 } };

const folder = mkdtempSync(join(tmpdir(), 'beamline-replay-'));
after(() => rmSync(folder, { recursive: true }));

function replay(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'policy', 'replay', ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

async function record(dir: string, policyId: string, change = (one: DecisionRecord): DecisionRecord => one) {
  const parsed = parsePolicy(OLD, {
    knownProviders: new Set(['alder', 'birch']),
    tenantId: 'kestrel',
    policyId,
    revision: 14,
  });
  assert.ok(parsed.kind === 'valid');
  const { policy } = parsed;
  using timers = new Timers(new ManualClock(1_000));
  await using files = await openDecisionFiles({ dir: join(folder, dir), timers });
  for (let id = 0; id < 100; id++) await files.write(linesOf(policy, id, change));
}

function linesOf(policy: Policy, id: number, change: (one: DecisionRecord) => DecisionRecord) {
  const requestId = `rq-${id}`;
  const facts = { tenantId: 'kestrel', requestId, taskType: 'ai.chat', model: 'small', stream: false, context: {} };
  const verdict = decide(policy, facts, SNAPSHOT, false);
  assert.ok(verdict.kind === 'chosen');
  const ended: OutcomeRecord = {
    type: 'outcome',
    time_ms: 1_000,
    tenant_id: 'kestrel',
    request_id: requestId,
    attempt: 1,
    provider_id: verdict.target.name,
    state: 'succeeded',
    latency_ms: verdict.target.name === 'alder' ? 10 : 50,
  };
  return [
    { text: JSON.stringify(change(recordOf(policy, facts, SNAPSHOT, verdict, 1_000))), policy },
    { text: JSON.stringify(ended), policy: undefined },
  ];
}

before(async () => {
  await record('one', 'default');
  await record('two', 'other');
  await record('bad', 'default', (one) => ({ ...one, seed: 'kept', facts: { ...one.facts, seed: 'another' } }));
  mkdirSync(join(folder, 'empty'));
  for (const [name, document] of Object.entries({
    'same.json': OLD,
    'moved.json': { version: '2.0', weights: { alder: 0, birch: 100 } },
    'other.json': { ...OLD, policy_id: 'other' },
    'third.json': { ...OLD, policy_id: 'third' },
    'wrong.json': { ...OLD, colour: 'red' },
  }))
    writeFileSync(join(folder, name), JSON.stringify(document));
});

test('the same policy changes nothing: exit 0, even where no change is allowed', () => {
  const { status, stdout, stderr } = replay('--policy', 'same.json', '--from', 'one', '--max-change', '0');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(
    stdout,
    /^100 decisions: 100 same, 0 changed \(0\.0 %\)\n100 tested on their own revision: 0 mismatch\n/,
  );
});

test('any number of directories are read, however they are named', () => {
  for (const from of [
    ['--from', 'one', '--from', 'two'],
    ['--from=one', 'two'],
    ['--from', 'one', 'two'],
  ]) {
    const { status, stdout } = replay('--policy', 'same.json', ...from);
    assert.equal(status, 0);
    assert.match(stdout, /^200 decisions: /);
  }
});

test('a filter chooses the records, and one that is no condition is a wrong use', () => {
  const half = replay('--policy', 'same.json', '--from', 'one', '--filter', "request.id.endsWith('7')");
  assert.match(half.stdout, /^10 decisions: /);
  const none = replay('--policy', 'same.json', '--from', 'one', '--filter', 'request.');
  assert.equal(none.status, 64);
  assert.match(none.stderr, /--filter "request\." invalid_expression: /);
});

test('a document that names its policy is tried on the records of that policy', () => {
  assert.match(replay('--policy', 'other.json', '--from', 'one', 'two').stdout, /^100 decisions: /);
});

test('a changed policy shows what it would change, for people', () => {
  const { status, stdout } = replay('--policy', 'moved.json', '--from', 'one');
  assert.equal(status, 0);
  assert.match(stdout, /^ {2}provider +before +after\n {2}alder +\d\d\.0 % +0\.0 %\n {2}birch +\d\d\.0 % +100\.0 %$/m);
  assert.match(stdout, /^estimated latency: \d\d -> 50 ms\nestimated cost: 1\d\d -> 200 micro-USD$/m);
  assert.match(
    stdout,
    /^changed, the first 20\n {2}kestrel:rq-\d+ attempt 1 +alder small \(weighted\) +-> +birch small/m,
  );
});

test('and for programs', () => {
  const { status, stdout } = replay('--policy', 'moved.json', '--from', 'one', '--json');
  assert.equal(status, 0);
  const report = JSON.parse(stdout) as ReplayReport;
  assert.deepEqual([report.records, report.tested, report.same + report.changed], [100, 100, 100]);
  assert.equal(report.first_changes.length, report.changed);
  assert.equal(report.first_changes[0]?.before?.provider_id, 'alder');
  assert.equal(report.first_changes[0]?.after?.provider_id, 'birch');
  assert.equal(report.expected_cost_micro_usd.after, 200);
});

test('more changes than allowed: exit 1', () => {
  assert.equal(replay('--policy', 'moved.json', '--from', 'one', '--max-change', '5').status, 1);
  assert.equal(replay('--policy', 'moved.json', '--from', 'one', '--max-change', '100').status, 0);
});

test('a decision that its own revision does not repeat: exit 1', () => {
  const { status, stdout } = replay('--policy', 'same.json', '--from', 'bad');
  assert.equal(status, 1);
  assert.match(stdout, /^100 tested on their own revision: \d\d mismatch$/m);
  assert.match(stdout, /^mismatch, the first 20$/m);
});

const unreadable: readonly (readonly [what: string, args: readonly string[], told: RegExp])[] = [
  ['a missing directory', ['--policy', 'same.json', '--from', 'nowhere'], /ENOENT.*nowhere/],
  ['a directory without records', ['--policy', 'same.json', '--from', 'empty'], /empty: no decision .* in 0 files/],
  ['no record of the policy', ['--policy', 'third.json', '--from', 'one'], /one: no decision .* in 1 files/],
  ['a missing policy', ['--policy', 'none.json', '--from', 'one'], /none\.json:1:1 cannot be read/],
  ['an invalid policy', ['--policy', 'wrong.json', '--from', 'one'], /\/colour unknown_key/],
];

for (const [what, args, told] of unreadable) {
  test(`${what}: exit 2, told on stderr only`, () => {
    const { status, stdout, stderr } = replay(...args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, told);
  });
}

test('a percentage that is none is wrong usage: exit 64', () => {
  assert.equal(replay('--policy', 'same.json', '--from', 'one', '--max-change', 'much').status, 64);
});

test('a torn last line is told and does not matter; a broken one before it is unreadable', async () => {
  await record('torn', 'default');
  const [name = ''] = readdirSync(join(folder, 'torn'));
  appendFileSync(join(folder, 'torn', name), '{"type":"decis');
  const torn = replay('--policy', 'same.json', '--from', 'torn');
  assert.equal(torn.status, 0);
  assert.match(torn.stdout, /^100 decisions: /);
  assert.match(torn.stderr, /1 files end in a torn line/);
  appendFileSync(join(folder, 'torn', name), '\n{}\n');
  const broken = replay('--policy', 'same.json', '--from', 'torn');
  assert.deepEqual([broken.status, broken.stdout], [2, '']);
  assert.match(broken.stderr, /:202:1 is not a decision record/);
});
