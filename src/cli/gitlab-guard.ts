// Whether a GitLab CI file runs a command of ours on every merge request and on the default branch, and blocks by it.
// Rules are evaluated for those two pipelines; a rule that is not understood is a fault, never a pass.
import { type CiFault, isMembers, linesOf, membersOf, runs, softness } from './ci-job.ts';
import { GITLAB_PIPELINES, type GitlabPipeline, isTrue } from './gitlab-condition.ts';

type Members = Readonly<Record<string, unknown>>;

/** Names at the top that are no jobs. */
const WORDS: ReadonlySet<string> = new Set([
  'stages',
  'variables',
  'workflow',
  'include',
  'default',
  'image',
  'services',
  'cache',
  'before_script',
  'after_script',
  'spec',
]);

export function gitlabFaults(tree: unknown, command: string): readonly CiFault[] {
  const file = membersOf(tree);
  const names = Object.keys(file).filter((name) => !WORDS.has(name) && !name.startsWith('.') && isMembers(file[name]));
  const jobs = names
    .map((name) => ({ name, job: whole(file, name) }))
    .filter(({ job }) => linesOf(job['script']).some((line) => runs(line, command)));
  if (jobs.length === 0) return [{ path: [], message: `no job runs beamline ${command}` }];
  const faults = jobs.map(({ name, job }) => jobFaults(name, job, command).concat(workflowFaults(file)));
  // One job that holds is enough.
  return faults.find((found) => found.length === 0) ?? faults.flat();
}

/** A job with what it extends; its own members win. */
function whole(file: Members, name: string, depth = 0): Members {
  const own = membersOf(file[name]);
  if (own['extends'] === undefined || depth > 10) return own;
  const bases = (Array.isArray(own['extends']) ? own['extends'] : [own['extends']]) as readonly unknown[];
  return Object.assign({}, ...bases.map((base) => whole(file, String(base), depth + 1)), own) as Members;
}

const SOFT_WHEN: ReadonlySet<unknown> = new Set(['manual', 'never', 'on_failure', 'delayed']);

function jobFaults(name: string, job: Members, command: string): readonly CiFault[] {
  const faults: CiFault[] = [];
  const tell = (path: readonly (string | number)[], message: string): void =>
    void faults.push({ path: [name, ...path], message });
  if (isSoft(job['allow_failure'])) tell(['allow_failure'], `${name} may fail`);
  if (SOFT_WHEN.has(job['when'])) tell(['when'], `${name} runs ${String(job['when'])}`);
  if (job['only'] !== undefined || job['except'] !== undefined) {
    tell([job['only'] === undefined ? 'except' : 'only'], `${name} is narrowed by only or except: say it by rules`);
  }
  const soft = softness(linesOf(job['script']), command);
  if (soft !== undefined) tell(['script'], `${name}: ${soft}`);
  if (job['rules'] === undefined) tell([], `${name} has no rules, so it does not run on merge requests`);
  else faults.push(...rulesFaults(job['rules'], [name, 'rules'], name));
  return faults;
}

const isSoft = (allowed: unknown): boolean => allowed !== undefined && allowed !== false;

const workflowFaults = (file: Members): readonly CiFault[] => {
  const { rules } = membersOf(file['workflow']);
  return rules === undefined ? [] : rulesFaults(rules, ['workflow', 'rules'], 'the workflow');
};

function rulesFaults(rules: unknown, path: readonly (string | number)[], name: string): readonly CiFault[] {
  return GITLAB_PIPELINES.flatMap((pipeline) => {
    const why = firstRule(Array.isArray(rules) ? rules : [rules], pipeline);
    return why === undefined
      ? []
      : [{ path: [...path, ...why.at], message: `${name} ${why.message} ${pipeline.told}` }];
  });
}

interface Why {
  readonly at: readonly number[];
  readonly message: string;
}

/** The first rule that applies decides. */
function firstRule(rules: readonly unknown[], pipeline: GitlabPipeline): Why | undefined {
  for (const [index, item] of rules.entries()) {
    const rule = membersOf(item);
    const at = [index];
    if (rule['changes'] !== undefined || rule['exists'] !== undefined) {
      if (SOFT_WHEN.has(rule['when']) || isSoft(rule['allow_failure'])) {
        return { at, message: 'is soft for some changes' };
      }
      // It applies for some changes only, and what follows must hold for the others.
      continue;
    }
    const applies = isTrue(rule['if'], pipeline);
    if (applies === undefined) return { at, message: `has a condition that is not understood: ${String(rule['if'])};` };
    if (!applies) continue;
    if (SOFT_WHEN.has(rule['when'])) return { at, message: `runs ${String(rule['when'])}` };
    return isSoft(rule['allow_failure']) ? { at, message: 'may fail' } : undefined;
  }
  return { at: [], message: 'does not run' };
}
