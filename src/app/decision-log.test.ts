import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readConfig } from '../config/read.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import type { Snapshot } from '../policy/facts.ts';
import { builtInPolicy } from '../policy/parse.ts';
import { replay } from '../policy/replay.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { DecisionFilesReader } from './decision-files-reader.ts';
import { openDecisionLog } from './decision-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'beamline-decision-log-'));
after(() => rmSync(folder, { recursive: true }));

const groundOf = (flags: Readonly<Record<string, unknown>>, timers: Timers) => ({
  config: readConfig({ env: {}, flags }).config,
  timers,
  telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() },
});

test('with a sample of nothing, nothing is recorded', async () => {
  using timers = new Timers(new ManualClock());
  const nothing = { 'policy.data_dir': join(folder, 'none'), 'decisions.sample': 0 };
  assert.equal(await openDecisionLog(groundOf(nothing, timers)), undefined);
  assert.deepEqual(readdirSync(folder), []);
});

test('without a data directory the last decisions are in memory, a few of each second', async () => {
  using timers = new Timers(new ManualClock());
  await using log = await openDecisionLog(groundOf({}, timers));
  const policy = builtInPolicy('default', [{ name: 'alder' }]);
  const snapshot: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
  for (let id = 0; id < 200; id++) {
    const requestId = `rq-${id}`;
    const facts = { tenantId: 'kestrel', requestId, taskType: 'ai.chat', model: 'm', stream: true, context: {} };
    log?.decided(policy, facts, snapshot, decide(policy, facts, snapshot, false));
  }
  const kept = await log?.kept();
  assert.equal([...(kept?.read({ fromMs: 0, toMs: 1 }) ?? [])].length, 50);
  assert.equal([...(kept?.find('kestrel', 'rq-7') ?? [])].filter((one) => one !== undefined).length, 1);
  assert.deepEqual(readdirSync(folder), []);
});

test('what a built-in policy decided is replayed from the data directory', async () => {
  using timers = new Timers(new ManualClock());
  const dir = join(folder, 'data');
  const policy = builtInPolicy('default', [{ name: 'alder' }, { name: 'birch', pool: 'lab' }]);
  const snapshot: Snapshot = { attempt: 1, failed: new Set(), failureWords: [], poolFactor: () => 0.7 };
  {
    await using log = await openDecisionLog(groundOf({ 'policy.data_dir': dir }, timers));
    for (let id = 0; id < 20; id++) {
      const requestId = `rq-${id}`;
      const facts = { tenantId: 'kestrel', requestId, taskType: 'ai.chat', model: 'm', stream: true, context: {} };
      log?.decided(policy, facts, snapshot, decide(policy, facts, snapshot, false));
    }
  }
  const reader = new DecisionFilesReader([dir]);
  const report = replay(reader.entries(), { own: (record) => reader.own(record), candidate: () => policy });
  assert.deepEqual([report.records, report.tested, report.mismatch, report.same], [20, 20, 0, 20]);
});
