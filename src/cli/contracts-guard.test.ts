// The guard against the templates, whole and with one thing spoilt that lets a change pass unchecked.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { githubTemplate, gitlabTemplate } from './ci-templates.ts';
import { verdictOf } from './contracts-guard.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'beamline-guard-'));
after(() => rmSync(folder, { recursive: true, force: true }));

type Edit = readonly [from: string | RegExp, to: string];

function run(files: Readonly<Record<string, string>>, ...args: readonly string[]) {
  const cwd = mkdtempSync(join(folder, 'project-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(cwd, path)), { recursive: true });
    writeFileSync(join(cwd, path), text);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'contracts', 'guard', ...args], {
    cwd,
    encoding: 'utf8',
  });
  return { status, out: stdout, err: stderr };
}

function edited(text: string, edits: readonly Edit[]): string {
  return edits.reduce((before, [from, to]) => {
    const next = before.replace(from, to);
    assert.notEqual(next, before, `nothing to spoil at ${String(from)}`);
    return next;
  }, text);
}

/** The edit within the job that checks the contracts: what stands before it is left. */
const inJob =
  (job: string, edits: readonly Edit[]) =>
  (text: string): string => {
    const at = text.indexOf(job);
    return text.slice(0, at) + edited(text.slice(at), edits);
  };

const GITLAB_SPOILT: readonly (readonly [what: string, edits: readonly Edit[], told: RegExp])[] = [
  ['the job is missing', [['contracts check', 'contracts rules']], /no job runs beamline contracts check/],
  [
    'the command is commented out',
    [['- ./beamline contracts check', '- echo "done" # ./beamline contracts check']],
    /no job runs/,
  ],
  ['the job may fail', [['script:', 'allow_failure: true\n  script:']], /:\d+:18 contracts may fail/],
  [
    'the job may fail with some codes',
    [['script:', 'allow_failure: { exit_codes: [1] }\n  script:']],
    /contracts may fail/,
  ],
  ['the job is manual', [['script:', 'when: manual\n  script:']], /contracts runs manual/],
  [
    'a rule is manual',
    [['"merge_request_event"', '"merge_request_event"\n      when: manual']],
    /contracts runs manual on merge requests/,
  ],
  [
    'a rule may fail',
    [['$CI_DEFAULT_BRANCH', '$CI_DEFAULT_BRANCH\n      allow_failure: true']],
    /contracts may fail on the default branch/,
  ],
  ['not on merge requests', [[/ {4}- if: \$CI_PIPELINE_SOURCE.*\n/, '']], /contracts does not run on merge requests/],
  [
    'not on the default branch',
    [[/ {4}- if: \$CI_COMMIT_BRANCH.*\n/, '']],
    /contracts does not run on the default branch/,
  ],
  [
    'for some files only',
    [[/ {4}- if: \$CI_PIPELINE_SOURCE.*\n/, '    - changes: [contracts/**/*]\n']],
    /does not run on merge requests/,
  ],
  [
    'never for some files',
    [['rules:', 'rules:\n    - changes: [docs/**/*]\n      when: never']],
    /is soft for some changes/,
  ],
  ['never first', [['rules:', 'rules:\n    - when: never']], /contracts runs never/],
  ['a condition nobody understands', [['"merge_request_event"', '"merge_request_event" && $FULL']], /not understood/],
  ['no rules at all', [[/ {2}rules:\n( {4}- .*\n)+/, '']], /has no rules, so it does not run on merge requests/],
  ['only', [[/ {2}rules:\n( {4}- .*\n)+/, '  only: [merge_requests]\n']], /narrowed by only or except/],
  ['the failure is swallowed', [['--base "$base"', '--base "$base" || true']], /its failure can be lost/],
  ['the failure is piped away', [['--base "$base"', '--base "$base" | tee log']], /its failure can be lost/],
  ['the script goes on after faults', [['- mkdir', '- set +e\n    - mkdir']], /goes on after faults/],
  ['the script ends well', [['./beamline contracts guard', 'exit 0']], /ends with 0/],
  ['the command is a condition', [['./beamline contracts check', 'if ./beamline contracts check']], /is a condition/],
  ['the help only', [['check --strict', 'check --help']], /only tells its help/],
  [
    'the workflow is narrowed',
    [[/^/, 'workflow:\n  rules:\n    - if: $CI_COMMIT_BRANCH\n']],
    /the workflow does not run on merge requests/,
  ],
  [
    'a base job makes it soft',
    [
      ['image:', 'extends: .soft\n  image:'],
      [/$/, '\n.soft:\n  allow_failure: true\n'],
    ],
    /contracts may fail/,
  ],
];

const GITHUB_SPOILT: readonly (readonly [what: string, edits: readonly Edit[], told: RegExp])[] = [
  ['the job is missing', [['contracts check', 'contracts rules']], /no job runs beamline contracts check/],
  ['the job may fail', [['runs-on', 'continue-on-error: true\n    runs-on']], /contracts may fail/],
  [
    'the job may fail by an expression',
    [['runs-on', 'continue-on-error: ${{ inputs.soft }}\n    runs-on']],
    /contracts may fail/,
  ],
  [
    'the step may fail',
    [['- run: ./beamline contracts check', '- continue-on-error: true\n        run: ./beamline contracts check']],
    /the step of contracts may fail/,
  ],
  [
    'the job has a condition',
    [['runs-on', "if: github.actor != 'bot'\n    runs-on"]],
    /contracts runs under a condition/,
  ],
  [
    'the step has a condition',
    [['- run: ./beamline contracts check', '- if: failure()\n        run: ./beamline contracts check']],
    /the step of contracts runs under a condition/,
  ],
  ['the job waits for a person', [['runs-on', 'environment: reviewed\n    runs-on']], /may wait for a person/],
  ['the failure is swallowed', [[/(check --strict --base "\$base")/, '$1 || true']], /its failure can be lost/],
  [
    'a shell that is not known',
    [['- run: ./beamline contracts check', '- shell: bash {0}\n        run: ./beamline contracts check']],
    /is not known/,
  ],
  ['it needs a job under a condition', [['runs-on', 'needs: check\n    runs-on']], /skipped where check is/],
];

/** Of the whole workflow. */
const TRIGGERS_SPOILT: typeof GITHUB_SPOILT = [
  ['not on pull requests', [['  pull_request:\n', '']], /does not run on pull requests/],
  [
    'by hand',
    [[/on:\n[^]*permissions:\n {2}contents: read\njobs/, 'on: workflow_dispatch\njobs']],
    /does not run on pull requests[^]*does not run on pushes/,
  ],
  ['not on pushes', [['  push:\n    branches: [main]\n', '']], /does not run on pushes to main/],
  ['on pushes to others', [['branches: [main]', 'branches: [next]']], /does not run on pushes to main/],
  ['on tags', [['branches: [main]', "tags: ['v*']"]], /does not run on pushes to main/],
  ['for some files', [['pull_request:', 'pull_request:\n    paths: [contracts/**]']], /paths lets some changes pass/],
  [
    'not for some files',
    [['branches: [main]', 'branches: [main]\n    paths-ignore: [docs/**]']],
    /paths-ignore lets some/,
  ],
  ['when labelled', [['pull_request:', 'pull_request:\n    types: [labeled]']], /misses opened, synchronize, reopened/],
  [
    'to other branches',
    [['pull_request:', 'pull_request:\n    branches: [next]']],
    /pull requests to main are not among/,
  ],
];

test('the templates check every change', () => {
  const { status, out, err } = run({ 'ops/ci/gitlab.yml': gitlabTemplate(), 'ops/ci/github.yml': githubTemplate() });
  assert.equal(status, 0, err);
  assert.match(out, /every change is checked/);
});

function refused(text: string, told: RegExp): void {
  const file = join(folder, 'ci.yml');
  writeFileSync(file, text);
  const { unreadable, faults } = verdictOf(file, 'main');
  assert.deepEqual(unreadable, [], text);
  assert.match(faults.join('\n'), told, text);
}

for (const [what, edits, told] of GITLAB_SPOILT) {
  test(`the guard of GitLab tells: ${what}`, () => {
    const isWhole = edits.some(([from]) => from instanceof RegExp && (from.source === '^' || from.source === '$'));
    const spoil = isWhole
      ? (text: string) => inJob('\ncontracts:', edits.slice(0, -1))(edited(text, edits.slice(-1)))
      : inJob('\ncontracts:', edits);
    refused(spoil(gitlabTemplate()), told);
  });
}

for (const [what, edits, told] of GITHUB_SPOILT) {
  test(`the guard of GitHub tells: ${what}`, () => {
    const spoilt = inJob('\n  contracts:', edits)(githubTemplate());
    const text = what.startsWith('it needs')
      ? spoilt.replace('  check:\n', '  check:\n    if: github.ref_protected\n')
      : spoilt;
    refused(text, told);
  });
}

for (const [what, edits, told] of TRIGGERS_SPOILT) {
  test(`the guard of GitHub tells: it runs ${what}`, () => {
    refused(edited(githubTemplate(), edits), told);
  });
}

test('a file that includes the template is judged with it', () => {
  const including = 'include: [{ local: /ci/beamline.yml }]\nstages: [test]\n';
  assert.equal(run({ '.gitlab-ci.yml': including, 'ci/beamline.yml': gitlabTemplate() }).status, 0);
  const { status, err } = run({
    '.gitlab-ci.yml': `${including}contracts: { script: [echo fine] }\n`,
    'ci/beamline.yml': gitlabTemplate(),
  });
  assert.equal(status, 1, err);
});

test('a soft job beside one that holds changes nothing', () => {
  const soft = '\nextra:\n  allow_failure: true\n  script: [./beamline contracts check]\n';
  assert.equal(run({ '.gitlab-ci.yml': gitlabTemplate() + soft }).status, 0);
});

test('what cannot be judged is no pass', () => {
  assert.deepEqual(
    [run({}).status, run({ '.gitlab-ci.yml': 'a: [' }).status, run({ x: '' }, 'nowhere.yml').status],
    [2, 2, 2],
  );
  const json = run({ '.gitlab-ci.yml': 'stages: [test]\n' }, '--json');
  assert.equal(json.status, 1);
  assert.deepEqual(JSON.parse(json.out), {
    files: ['.gitlab-ci.yml'],
    unreadable: [],
    faults: ['.gitlab-ci.yml:1:1 no job runs beamline contracts check'],
  });
});
