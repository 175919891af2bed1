import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { requiredSecret } from './secret.ts';

test('a secret that is there is opened, a missing one refuses the start and names where it was wanted', () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-secret-'));
  const file = join(folder, 'key');
  writeFileSync(file, 'sk-test\n');
  assert.equal(requiredSecret('providers.list[0].keys[0].secret', `file:${file}`, systemClock)(), 'sk-test');
  for (const ref of [`file:${folder}/nothing`, 'env:A_NAME_THAT_NOBODY_SETS']) {
    assert.throws(() => requiredSecret('gateway.auth.pepper.current', ref, systemClock), {
      code: 'validation_failed',
      message: `gateway.auth.pepper.current refers to ${ref}, which is missing or empty`,
    });
  }
  rmSync(folder, { recursive: true });
});
