// Whether a GitHub workflow runs a command of ours on every pull request and on the default branch, and blocks by it.
import { type CiFault, isMembers, linesOf, membersOf, runs, softness } from './ci-job.ts';

type Members = Readonly<Record<string, unknown>>;

export function githubFaults(tree: unknown, command: string, defaultBranch: string): readonly CiFault[] {
  const file = membersOf(tree);
  const jobs = membersOf(file['jobs']);
  const found = Object.entries(jobs).flatMap(([name, job]) =>
    stepsOf(job).flatMap((step, index) =>
      linesOf(step['run']).some((line) => runs(line, command)) ? [{ name, job: membersOf(job), step, index }] : [],
    ),
  );
  if (found.length === 0) return [{ path: [], message: `no job runs beamline ${command}` }];
  const triggers = triggerFaults(file['on'], defaultBranch);
  const faults = found.map(({ name, job, step, index }) =>
    triggers.concat(jobFaults(jobs, name, job), stepFaults(step, ['jobs', name, 'steps', index], name, command)),
  );
  // One job that holds is enough.
  return faults.find((one) => one.length === 0) ?? faults.flat();
}

const stepsOf = (job: unknown): readonly Members[] => {
  const { steps } = membersOf(job);
  return Array.isArray(steps) ? steps.map(membersOf) : [];
};

/** Whether something is said that could let a failure pass; an expression could be true. */
const isSoft = (value: unknown): boolean => value !== undefined && value !== false;

/** Conditions that hold in every run that has not failed already. */
const HARD_IF: ReadonlySet<unknown> = new Set([
  undefined,
  'always()',
  'success()',
  '${{ always() }}',
  '${{ success() }}',
]);

function triggerFaults(on: unknown, defaultBranch: string): readonly CiFault[] {
  const events: Members =
    typeof on === 'string'
      ? { [on]: null }
      : Array.isArray(on)
        ? Object.fromEntries(on.map((name) => [name, null]))
        : membersOf(on);
  const faults: CiFault[] = [];
  const narrowed = (event: string, ...keys: readonly string[]): void => {
    for (const key of keys) {
      if (membersOf(events[event])[key] !== undefined) {
        faults.push({ path: ['on', event, key], message: `${key} lets some changes pass unchecked` });
      }
    }
  };
  if (!Object.hasOwn(events, 'pull_request'))
    faults.push({ path: ['on'], message: 'it does not run on pull requests' });
  narrowed('pull_request', 'paths', 'paths-ignore', 'branches-ignore');
  const { types, branches: bases } = membersOf(events['pull_request']);
  const missed = ['opened', 'synchronize', 'reopened'].filter((type) => Array.isArray(types) && !types.includes(type));
  if (missed.length > 0)
    faults.push({ path: ['on', 'pull_request', 'types'], message: `it misses ${missed.join(', ')}` });
  if (bases !== undefined && !covers(bases, defaultBranch)) {
    faults.push({
      path: ['on', 'pull_request', 'branches'],
      message: `pull requests to ${defaultBranch} are not among them`,
    });
  }
  const { branches } = membersOf(events['push']);
  const pushed =
    Object.hasOwn(events, 'push') &&
    (branches === undefined ? !isTagsOnly(events['push']) : covers(branches, defaultBranch));
  if (!pushed) faults.push({ path: ['on'], message: `it does not run on pushes to ${defaultBranch}` });
  narrowed('push', 'paths', 'paths-ignore', 'branches-ignore');
  return faults;
}

const isTagsOnly = (push: unknown): boolean => membersOf(push)['tags'] !== undefined;

const covers = (branches: unknown, branch: string): boolean =>
  Array.isArray(branches) &&
  branches.some((pattern) => pattern === branch || pattern === '**' || pattern === '$default-branch') &&
  !branches.some((pattern) => typeof pattern === 'string' && pattern.startsWith('!'));

function jobFaults(jobs: Members, name: string, job: Members): readonly CiFault[] {
  const at = ['jobs', name];
  const faults: CiFault[] = [];
  if (isSoft(job['continue-on-error']))
    faults.push({ path: [...at, 'continue-on-error'], message: `${name} may fail` });
  if (!HARD_IF.has(job['if'])) faults.push({ path: [...at, 'if'], message: `${name} runs under a condition` });
  if (job['environment'] !== undefined) {
    faults.push({ path: [...at, 'environment'], message: `${name} may wait for a person, by its environment` });
  }
  const needs = Array.isArray(job['needs']) ? job['needs'] : [job['needs']];
  for (const need of needs.filter((one) => typeof one === 'string')) {
    if (isMembers(jobs[need]) && !HARD_IF.has(membersOf(jobs[need])['if'])) {
      faults.push({
        path: [...at, 'needs'],
        message: `${name} is skipped where ${need} is, which runs under a condition`,
      });
    }
  }
  return faults;
}

function stepFaults(step: Members, at: CiFault['path'], name: string, command: string): readonly CiFault[] {
  const faults: CiFault[] = [];
  if (isSoft(step['continue-on-error'])) {
    faults.push({ path: [...at, 'continue-on-error'], message: `the step of ${name} may fail` });
  }
  if (!HARD_IF.has(step['if']))
    faults.push({ path: [...at, 'if'], message: `the step of ${name} runs under a condition` });
  const soft = softness(linesOf(step['run']), command);
  if (soft !== undefined) faults.push({ path: [...at, 'run'], message: `${name}: ${soft}` });
  // The shells that GitHub knows by name stop at the first fault.
  const { shell } = step;
  if (shell !== undefined && shell !== 'bash' && shell !== 'sh') {
    faults.push({ path: [...at, 'shell'], message: `whether ${JSON.stringify(shell)} stops at a fault is not known` });
  }
  return faults;
}
