// `beamline contracts guard`: whether the CI of a project really checks the contracts of every change: on merge requests
// and on the default branch, and so that a failure blocks.
import { existsSync, globSync } from 'node:fs';
import { defineCommand } from 'citty';
import { readYamlFile } from '../config/yaml-file.ts';
import { isMembers, membersOf } from './ci-job.ts';
import { EXIT } from './exit.ts';
import { githubFaults } from './github-guard.ts';
import { gitlabFaults } from './gitlab-guard.ts';
import { complain, print } from './print.ts';

const COMMAND = 'contracts check';
const GITLAB = '.gitlab-ci.yml';
const TEMPLATES = ['ops/ci/gitlab.yml', 'ops/ci/github.yml'] as const;

export const contractsGuardCommand = defineCommand({
  meta: { name: 'guard', description: 'Check that CI runs contracts check on every change, and blocks by it' },
  args: {
    'file...': {
      type: 'positional',
      required: false,
      description: 'CI files (default: those of the project, and ops/ci)',
    },
    'default-branch': { type: 'string', default: 'main', description: 'Name of the default branch, for GitHub' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  run({ args }) {
    const named = args._.length > 0 ? args._ : filesHere();
    if (named.length === 0) {
      complain('there is no CI file to judge');
      return EXIT.unreadable;
    }
    const verdicts = named.map((file) => verdictOf(file, args['default-branch']));
    const unreadable = verdicts.flatMap((verdict) => verdict.unreadable);
    const faults = verdicts.flatMap((verdict) => verdict.faults);
    for (const line of [...unreadable, ...(args.json ? [] : faults)]) complain(line);
    if (args.json) print(JSON.stringify({ files: named, unreadable, faults }, null, 2));
    else if (unreadable.length + faults.length === 0) print(`${named.join(', ')}: every change is checked`);
    return unreadable.length > 0 ? EXIT.unreadable : faults.length > 0 ? EXIT.failed : EXIT.ok;
  },
});

/** What CI reads, else nothing of a system counts; the templates always. */
function filesHere(): readonly string[] {
  const workflows = globSync('.github/workflows/*.{yml,yaml}').filter((file) => {
    const { tree } = readYamlFile(file);
    return JSON.stringify(tree ?? '').includes('beamline');
  });
  return [...(existsSync(GITLAB) ? [GITLAB] : []), ...workflows, ...TEMPLATES.filter((file) => existsSync(file))];
}

export interface Verdict {
  readonly unreadable: readonly string[];
  /** `file:line:col message`. */
  readonly faults: readonly string[];
}

/** What is wrong with one CI file; a GitLab file is judged with the files of the project that it includes. */
export function verdictOf(file: string, defaultBranch: string): Verdict {
  const yaml = readYamlFile(file);
  if (yaml.faults.length > 0) return { unreadable: yaml.faults, faults: [] };
  if (!isMembers(yaml.tree)) return { unreadable: [`${file}:1:1 is no CI file`], faults: [] };
  const isGithub = yaml.tree['jobs'] !== undefined && yaml.tree['on'] !== undefined;
  const included = isGithub ? { tree: {}, unreadable: [] } : includedBy(yaml.tree);
  const found = isGithub
    ? githubFaults(yaml.tree, COMMAND, defaultBranch)
    : gitlabFaults({ ...included.tree, ...yaml.tree }, COMMAND);
  return {
    unreadable: included.unreadable,
    faults: found.map(({ path, message }) => `${yaml.locate(path, false)} ${message}`),
  };
}

/** The jobs of the project's own files that a GitLab file includes; a foreign file cannot be judged and is not counted. */
function includedBy(tree: Readonly<Record<string, unknown>>): { tree: Record<string, unknown>; unreadable: string[] } {
  const includes = Array.isArray(tree['include']) ? tree['include'] : [tree['include']];
  const merged: Record<string, unknown> = {};
  const unreadable: string[] = [];
  for (const include of includes) {
    const local = typeof include === 'string' ? include : membersOf(include)['local'];
    if (typeof local !== 'string' || /^https?:/.test(local)) continue;
    if (isMembers(include) && include['rules'] !== undefined) continue;
    const yaml = readYamlFile(local.replace(/^\//, ''));
    unreadable.push(...yaml.faults);
    Object.assign(merged, membersOf(yaml.tree));
  }
  return { tree: merged, unreadable };
}
