import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openDecisionFiles } from '../app/decision-files.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { type OutcomeRecord, recordOf, type UsageRecord } from '../policy/decision-record.ts';
import type { ExperimentReport } from '../policy/experiment-report.ts';
import type { Snapshot } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const SNAPSHOT: Snapshot = { attempt: 1, failed: new Set(), failureWords: [], costMicroUsd: () => 100 };
const DOCUMENT = JSON.parse(`{
  "version": "2.0", "weights": { "alder": 50, "birch": 50 },
  "experiments": [{ "id": "smaller", "unit": "session", "arms": [
    { "name": "control", "share": 50 }, { "name": "small", "share": 50, "then": { "only": ["birch"] } }] }]
}`) as object;

const folder = mkdtempSync(join(tmpdir(), 'beamline-experiment-'));
after(() => rmSync(folder, { recursive: true }));

const run = (...args: readonly string[]) =>
  spawnSync(process.execPath, [MAIN, 'policy', 'experiment', ...args], { cwd: folder, encoding: 'utf8' });

/** Every tenth request of the control is blocked; the other arm takes a tenth of the time. */
before(async () => {
  const key = { knownProviders: new Set(['alder', 'birch']), tenantId: 'kestrel', policyId: 'default', revision: 3 };
  const parsed = parsePolicy(DOCUMENT, key);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  const { policy } = parsed;
  using timers = new Timers(new ManualClock(1_000));
  await using files = await openDecisionFiles({ dir: join(folder, 'data'), timers });
  const lines = Array.from({ length: 600 }, (_, n) => {
    const requestId = `rq-${n}`;
    const context = { session: `s-${n}` };
    const facts = { tenantId: 'kestrel', requestId, taskType: 'ai.chat', model: 'm', stream: false, context };
    const verdict = decide(policy, facts, SNAPSHOT, false);
    assert.ok(verdict.kind === 'chosen');
    const isControl = verdict.arms[0]?.arm === 'control';
    const ended: OutcomeRecord = {
      type: 'outcome',
      time_ms: 1_000,
      tenant_id: 'kestrel',
      request_id: requestId,
      attempt: 1,
      provider_id: verdict.target.name,
      ...(isControl && n % 10 === 0 ? { state: 'failed', code: 'CONTENT_BLOCKED' } : { state: 'succeeded' }),
      latency_ms: isControl ? 900 + (n % 7) : 90 + (n % 7),
    };
    const record = recordOf(policy, facts, SNAPSHOT, verdict, 1_000);
    const usage: UsageRecord = {
      type: 'usage',
      time_ms: 1_000,
      tenant_id: 'kestrel',
      request_id: requestId,
      policy_id: 'default',
      attempt: 1,
      arms: verdict.arms,
      input_tokens: 20,
      output_tokens: 5,
      cost_micro_usd: isControl ? 130 : 13,
    };
    return [
      { text: JSON.stringify(usage), policy: undefined },
      { text: JSON.stringify(record), policy },
      { text: JSON.stringify(ended), policy: undefined },
    ];
  });
  await files.write(lines.flat());
  writeFileSync(join(folder, 'default.json'), JSON.stringify(DOCUMENT));
  writeFileSync(join(folder, 'other.json'), JSON.stringify(DOCUMENT));
  writeFileSync(join(folder, 'plain.json'), '{"version":"2.0","weights":{"alder":1}}');
});

test('the arms of an experiment are reported with their intervals and what they do not show', () => {
  const { status, stdout } = run('default.json', '--from', 'data');
  assert.equal(status, 0);
  assert.match(stdout, /^smaller of default, tenant kestrel\n/);
  assert.match(
    stdout,
    /arm +requests +ended +success +fallback +blocked +p50 ms +p95 ms +mean ms +expected micro-USD +micro-USD +tokens/,
  );
  const control =
    /control +\d{3} +\d{3} +\d\d\.\d % \(.*?\) +0\.0 % +\d+\.\d % +90\d +906 +90\d \(90\d to 90\d\) +100 \(100 to 100\) +130 \(130 to 130\) +25$/m;
  assert.match(stdout, control);
  assert.match(stdout, /small +\d{3} +\d{3} +100\.0 % \(\d\d\.\d % to 100\.0 %\) +0\.0 % +0\.0 % +9\d +96 +9\d /);
  assert.match(stdout, /expected cost: the intervals overlap, no difference is shown/);
  assert.doesNotMatch(stdout, /latency: the intervals|too little/);
});

test('the same as JSON', () => {
  const { status, stdout } = run('default.json', '--from=data', '--json');
  const [report] = JSON.parse(stdout) as ExperimentReport[];
  assert.equal(status, 0);
  assert.deepEqual(
    report?.arms.map(({ arm }) => arm),
    ['control', 'small'],
  );
  assert.equal(
    report?.arms.reduce((sum, { requests }) => sum + requests, 0),
    600,
  );
  const [control, small] = report?.arms ?? [];
  assert.equal((control?.blocked?.value ?? 0) + (control?.success?.value ?? 0), 1);
  assert.deepEqual([control?.latency_p95_ms, small?.latency_p95_ms, small?.fallback?.value], [906, 96, 0]);
});

test('what is not recorded, not there or no experiment has its exit code', () => {
  assert.equal(run('other.json', '--from', 'data').status, 1);
  assert.equal(run('plain.json', '--from', 'data').status, 2);
  assert.equal(run('default.json', '--from', 'nowhere').status, 2);
  assert.equal(run('absent.json', '--from', 'data').status, 2);
});
