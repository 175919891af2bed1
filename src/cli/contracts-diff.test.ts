import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const CANCEL = 'contracts/schemas/caf.exec.Cancel@2.json';

let folder = '';

/** The program in a project of its own, whose first commit has the contracts of this one. */
function run(...args: readonly string[]): {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
} {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'contracts', 'diff', ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, out: stdout, err: stderr };
}

function git(...args: readonly string[]): void {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.com', '-c', 'init.defaultBranch=main'];
  const { status, stderr } = spawnSync('git', [...identity, ...args], { cwd: folder, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

function edit(path: string, from: string | RegExp, to: string): void {
  const text = readFileSync(join(folder, path), 'utf8');
  const edited = text.replace(from, to);
  assert.notEqual(edited, text);
  writeFileSync(join(folder, path), edited);
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'beamline-diff-'));
  cpSync('contracts', join(folder, 'contracts'), { recursive: true });
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '-m', 'the contracts');
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('contracts that did not change have no differences', () => {
  assert.deepEqual(run('HEAD'), { status: 0, out: 'the contracts are the same\n', err: '' });
  assert.equal(run('HEAD', 'HEAD').status, 0);
  assert.equal(run('.', 'contracts').status, 0);
});

test('an additive change is told and passes, a breaking one is told to both sides and fails', () => {
  edit(CANCEL, '"delivered": {', '"note": {\n      "type": "string"\n    },\n    "delivered": {');
  const additive = run('HEAD');
  assert.equal(additive.status, 0, additive.err);
  assert.match(
    additive.out,
    /^1 subject changed: 0 breaking, 1 additive\ncaf\.exec\.cancel\.v2\n +additive +payload +\/note /,
  );

  edit(CANCEL, /"client_disconnected",\n/, '');
  const breaking = run('HEAD');
  assert.equal(breaking.status, 1);
  assert.match(
    breaking.out,
    /BREAKING +payload +\/reason +"client_disconnected" is refused now +\[old senders and new readers\]/,
  );

  const json = run('HEAD', 'contracts', '--json');
  assert.equal(json.status, 1);
  const report = JSON.parse(json.out) as { breaking: number; additive: number; changes: readonly object[] };
  assert.deepEqual([report.breaking, report.additive, report.changes.length], [1, 1, 2]);
  // The other way round nothing is refused by those who read what stands in the revision.
  assert.match(run('contracts', 'HEAD').out, /\/reason +old readers do not know "client_disconnected"/);
});

// What cannot be read, and what is said of it.
const UNREADABLE: readonly (readonly [what: string, args: readonly string[], told: RegExp])[] = [
  ['no such revision', ['nowhere'], /"nowhere" is neither a folder nor a revision of git/],
  ['no such folder', ['HEAD', './nowhere'], /neither a folder nor a revision/],
  ['a folder without a registry', ['HEAD', 'contracts/schemas'], /has no registry\.json/],
  ['what looks like an option of git', ['HEAD', 'HEAD;--output=x'], /neither a folder nor a revision/],
];

for (const [what, args, told] of UNREADABLE) {
  test(`${what} cannot be compared`, () => {
    const { status, err } = run(...args);
    assert.equal(status, 2, err);
    assert.match(err, told);
  });
}

test('a registry that is not JSON, and a schema that is not there, cannot be compared', () => {
  const registry = readFileSync(join(folder, 'contracts/registry.json'), 'utf8');
  writeFileSync(join(folder, 'contracts/registry.json'), '{');
  assert.deepEqual([run('HEAD').status, run('.').status], [2, 2]);
  writeFileSync(join(folder, 'contracts/registry.json'), registry);
  rmSync(join(folder, CANCEL));
  const { status, err } = run('HEAD');
  assert.equal(status, 2);
  assert.match(err, /no schema caf\.exec\.Cancel@2, which caf\.exec\.cancel\.v2 names/);
});
