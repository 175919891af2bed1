// `beamline contracts check` as a command: exit codes, reports, and the freeze lock, on a copy of the law.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const FROZEN = 'caf.exec.result.v1';

/** A checkout that holds only the law: its evidence is not there, which is a warning for each owner. */
function openCopy() {
  const root = mkdtempSync(join(tmpdir(), 'beamline-law-'));
  for (const part of ['contracts', 'CODEOWNERS', 'docs/reference/subjects.md']) {
    cpSync(part, join(root, part), { recursive: true });
  }
  const path = (file: string): string => join(root, 'contracts', file);
  return {
    root,
    path,
    read: (file: string): string => readFileSync(path(file), 'utf8'),
    edit: (file: string, change: (text: string) => string): void =>
      writeFileSync(path(file), change(readFileSync(path(file), 'utf8'))),
    check(...args: readonly string[]) {
      const command = [MAIN, 'contracts', 'check', ...args];
      const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8', env: {} });
      return { status, stdout, stderr };
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

interface Report {
  readonly exit_code: number;
  readonly unreadable: readonly string[];
  readonly findings: readonly Readonly<Record<'rule' | 'severity' | 'subject' | 'path' | 'message', string>>[];
}

test('the law passes with warnings; --strict fails them', () => {
  using copy = openCopy();
  const relaxed = copy.check('--json');
  assert.equal(relaxed.status, 0, relaxed.stdout + relaxed.stderr);
  const { exit_code: exit, findings } = JSON.parse(relaxed.stdout) as Report;
  assert.equal(exit, 0);
  assert.deepEqual(
    [...new Set(findings.map(({ rule, severity }) => `${severity} ${rule}`))],
    ['warning owner-evidence'],
  );
  assert.equal(copy.check('--strict').status, 1);
});

test('an error is exit 1, told with rule, place and subject, and in the JUnit report', () => {
  using copy = openCopy();
  copy.edit('registry.json', (text) => text.replace('Ask which provider serves a request"', 'Ask"'));
  const { status, stdout } = copy.check('--junit', 'report.xml');
  assert.equal(status, 1);
  assert.match(
    stdout,
    /^error v1-entry-unchanged contracts\/registry\.json#\/subjects\/0 beamline\.router\.v1\.decide: /m,
  );
  const report = readFileSync(join(copy.root, 'report.xml'), 'utf8');
  // What is generated of the registry is stale, too.
  assert.match(report, /failures="2"/);
  assert.match(report, /name="v1-entry-unchanged">/);
  assert.match(report, /name="generated-fresh">/);
});

const UNREADABLE: readonly (readonly [what: string, file: string, text: string | undefined])[] = [
  ['no registry', 'registry.json', undefined],
  ['a registry that is no JSON', 'registry.json', '{'],
  ['no lock', 'freeze.lock.json', undefined],
  ['a lock that is no JSON', 'freeze.lock.json', ''],
  ['no table of errors', 'errors.json', undefined],
  ['a schema that is gone', 'schemas/caf.exec.Cancel@2.json', undefined],
  ['a schema that is no JSON', 'schemas/caf.exec.Cancel@2.json', 'no'],
  ['a frozen copy that is gone', 'frozen/caf.exec.ExecResult@1.json', undefined],
  ['an example that is no JSON', 'examples/caf.exec.Cancel@2/client_disconnected.json', '['],
  ['an example that is gone', 'examples/caf.exec.Cancel@2/client_disconnected.json', undefined],
];

for (const [what, file, text] of UNREADABLE) {
  test(`${what}: exit 2, and the file is named`, () => {
    using copy = openCopy();
    if (text === undefined) rmSync(copy.path(file));
    else writeFileSync(copy.path(file), text);
    const { status, stdout, stderr } = copy.check();
    assert.equal(status, 2);
    assert.ok((stdout + stderr).includes(file.replace(/\/[a-z_]+\.json$/, '')), stdout + stderr);
  });
}

test('with --base an active subject may not lose what others rely on; a base that is not there is exit 2', () => {
  using copy = openCopy();
  using base = openCopy();
  base.edit('registry.json', (text) => text.replaceAll('caf.exec.cancel.v2', 'caf.exec.stop.v2'));
  const { status, stdout } = copy.check('--base', base.root);
  assert.equal(status, 1);
  assert.match(stdout, /error v2-active-compatible .* caf\.exec\.stop\.v2: removed without having been deprecated/);
  assert.equal(copy.check('--base', copy.root).status, 0);
  assert.equal(copy.check('--base', join(copy.root, 'nowhere')).status, 2);
});

test('--update-lock adds what was frozen, and never takes back what is locked', () => {
  using copy = openCopy();
  const before = copy.read('freeze.lock.json');
  assert.equal(copy.check('--update-lock').status, 0);
  assert.equal(copy.read('freeze.lock.json'), before, 'a complete lock stays as it is, to the byte');

  copy.edit('registry.json', (text) => text.replace('Ask which provider serves a request"', 'Ask"'));
  const changed = copy.check('--update-lock');
  assert.equal(changed.status, 1, 'what changed stays changed');
  assert.equal(copy.read('freeze.lock.json'), before);
});

test('--update-lock begins a lock where there is none, with the same digests', () => {
  using copy = openCopy();
  const before = JSON.parse(copy.read('freeze.lock.json')) as { subjects: Record<string, unknown> };
  rmSync(copy.path('freeze.lock.json'));
  assert.equal(copy.check('--update-lock').status, 0);
  const after = JSON.parse(copy.read('freeze.lock.json')) as { subjects: Record<string, unknown> };
  assert.deepEqual(after.subjects[FROZEN], before.subjects[FROZEN]);
});

test('the rules are listed with what they weigh and what they say', () => {
  const { status, stdout } = spawnSync(process.execPath, [MAIN, 'contracts', 'rules', '--json'], { encoding: 'utf8' });
  assert.equal(status, 0);
  const { rules } = JSON.parse(stdout) as { rules: readonly { id: string; severity: string; says: string }[] };
  assert.partialDeepStrictEqual(
    rules.find(({ id }) => id === 'freeze-tag'),
    { severity: 'warning' },
  );
  assert.ok(rules.every(({ says }) => says !== ''));
});
