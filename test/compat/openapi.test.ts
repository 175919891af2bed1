// The committed OpenAPI document before a linter that others use.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const LINTER = 'node_modules/@redocly/cli/bin/cli.js';

// What is promised answers 501 only, and a body may have required fields that a provider describes.
const SKIPPED = ['operation-2xx-response', 'no-required-schema-properties-undefined'];

interface Problem {
  readonly ruleId: string;
  readonly message: string;
  readonly location: readonly { readonly pointer?: string }[];
}

function problemsOf(path: string): readonly string[] {
  const skipped = SKIPPED.flatMap((rule) => ['--skip-rule', rule]);
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [LINTER, 'lint', path, '--extends', 'recommended', '--format', 'json', ...skipped],
    { encoding: 'utf8', env: { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } },
  );
  const report = JSON.parse(stdout === '' ? stderr : stdout) as { readonly problems: readonly Problem[] };
  return report.problems.map(({ ruleId, message, location: [at] }) => `${ruleId} ${at?.pointer ?? ''}: ${message}`);
}

test('the OpenAPI document has nothing that the linter would tell', () => {
  assert.deepEqual(problemsOf('contracts/openapi.json'), []);
});

test('the linter tells an operation without its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-openapi-'));
  try {
    const document = readFileSync('contracts/openapi.json', 'utf8').replace(/"operationId": "[^"]*",/, '');
    writeFileSync(join(folder, 'openapi.json'), document);
    assert.match(problemsOf(join(folder, 'openapi.json')).join('\n'), /^operation-operationId /);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
