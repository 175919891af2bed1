// What the check says where much is gone at once, and how the freeze lock grows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { relocked } from '../contracts/law/freeze-lock.ts';
import { checkLaw } from '../contracts/law/rules.ts';
import { all, GONE, law, TRUE } from './contracts-rules-fixture.ts';

for (const part of ['meta', 'conventions', 'header_sets', 'subjects', 'streams', 'ownership']) {
  test(`a registry without ${part} is told as such, and no rule breaks on it`, () => {
    const findings = checkLaw(law([part], GONE)(TRUE));
    assert.ok(
      findings.some(({ rule, message }) => rule === 'top-level' && message.startsWith(`${part} must be there`)),
    );
    assert.ok(findings.length > 1);
  });
}

test('a deleted frozen subject is found though its line of the lock is all that is left', () => {
  const findings = checkLaw(law(['subjects', 'caf.exec.result.v1'], GONE)(TRUE));
  assert.ok(findings.some(({ rule, message }) => rule === 'v1-not-deleted' && message.endsWith('not in the registry')));
});

for (const place of ['schemas', 'frozen'] as const) {
  test(`a file that is gone from ${place} is told as missing: nobody can judge it`, () => {
    const files = new Map(TRUE[place]);
    files.delete('caf.exec.ExecResult@1');
    const findings = checkLaw({ ...TRUE, [place]: files });
    assert.ok(findings.some(({ isMissing, path }) => isMissing === true && path.includes('ExecResult')));
  });
}

test('the lock only grows: what it has stays as it is, even where the registry differs', () => {
  const changed = all(
    law(['subjects', 'beamline.router.v1.decide', 'purpose'], 'Ask'),
    law(['header_sets', 'request_reply_v1', 'required'], ['trace_id']),
  )(TRUE);
  assert.deepEqual(relocked(changed), { lock: TRUE.lock, copies: new Map() });
});

test('the lock takes up a subject that was frozen after it, with copies of its schemas', () => {
  const frozen = law(['subjects', 'caf.worker.heartbeat.v1', 'status'], 'frozen')(TRUE);
  const lacking = checkLaw(frozen).filter(({ rule }) => rule === 'lock-complete');
  assert.deepEqual(
    lacking.map(({ subject }) => subject),
    ['caf.worker.heartbeat.v1'],
  );
  const { lock, copies } = relocked(frozen);
  assert.deepEqual([...copies.keys()], ['caf.worker.WorkerHeartbeat@1']);
  const locked = checkLaw({ ...frozen, lock, frozen: new Map([...frozen.frozen, ...copies]) });
  assert.deepEqual(
    locked.filter(({ subject }) => subject === 'caf.worker.heartbeat.v1'),
    [],
  );
});
