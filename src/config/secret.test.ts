import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { openSecret } from './secret.ts';

function inFolder(body: (path: (name: string) => string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-secret-'));
  try {
    body((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a variable is a secret without its surrounding white space, and an empty one is missing', () => {
  const env = { A: ' secret\n', B: ' ' };
  const clock = new ManualClock();
  const open = (name: string) => openSecret(`env:${name}`, { env, clock })();
  assert.deepEqual(['A', 'B', 'C'].map(open), ['secret', undefined, undefined]);
});

test('a replaced file counts from the next look, at most one look per second', () => {
  inFolder((path) => {
    const clock = new ManualClock();
    writeFileSync(path('key'), 'old\n');
    const secret = openSecret(`file:${path('key')}`, { env: {}, clock });
    assert.equal(secret(), 'old');
    writeFileSync(path('next'), 'new\n');
    renameSync(path('next'), path('key'));
    clock.advance(999);
    assert.equal(secret(), 'old');
    clock.advance(1);
    assert.equal(secret(), 'new');
  });
});

test('a secret file that vanishes leaves the last good secret', () => {
  inFolder((path) => {
    const clock = new ManualClock();
    writeFileSync(path('key'), 'good');
    const secret = openSecret(`file:${path('key')}`, { env: {}, clock });
    assert.equal(secret(), 'good');
    rmSync(path('key'));
    clock.advance(1000);
    assert.equal(secret(), 'good');
  });
});

test('a secret file that is missing at first is seen when it comes', () => {
  inFolder((path) => {
    const clock = new ManualClock();
    const secret = openSecret(`file:${path('key')}`, { env: {}, clock });
    assert.equal(secret(), undefined);
    writeFileSync(path('key'), 'late');
    clock.advance(1000);
    assert.equal(secret(), 'late');
  });
});
