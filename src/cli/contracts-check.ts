// `beamline contracts check`: whether the law of the wire holds: registry, lock, schemas, examples and code agree.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defineCommand } from 'citty';
import { relocked } from '../contracts/law/freeze-lock.ts';
import { frozenPath, LOCK_PATH, type Material } from '../contracts/law/material.ts';
import { checkLaw, type Finding, RULES } from '../contracts/law/rules.ts';
import { readMaterial } from './contracts-material.ts';
import { EXIT } from './exit.ts';
import { junitReport } from './junit.ts';
import { complain, print } from './print.ts';

export const contractsCheckCommand = defineCommand({
  meta: {
    name: 'check',
    description: 'Check registry, lock, schemas, examples and code: exit 0 they agree, 1 they do not, 2 unreadable',
  },
  args: {
    strict: { type: 'boolean', default: false, description: 'Warnings fail too' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
    junit: { type: 'string', valueHint: 'file', description: 'Write a JUnit report, one case per rule' },
    base: { type: 'string', valueHint: 'dir', description: 'Checkout or revision to stay compatible with' },
    'update-lock': { type: 'boolean', default: false, description: 'Add to the freeze lock what it lacks' },
  },
  run({ args }) {
    if (args['update-lock'] && !updateLock()) return EXIT.unreadable;
    const reading = readMaterial({ root: '.', base: args.base });
    if (reading.kind === 'unreadable') {
      for (const fault of reading.faults) complain(fault);
      return EXIT.unreadable;
    }
    const findings = checkLaw(reading.material);
    const exit = exitOfFindings(findings, { isStrict: args.strict, unreadable: reading.unreadable });
    for (const fault of reading.unreadable) complain(fault);
    if (args.json) print(JSON.stringify(reportOf(findings, reading.unreadable, exit), null, 2));
    else for (const line of linesOf(findings, reading.material)) print(line);
    if (args.junit !== undefined) writeFileSync(args.junit, junitOf(findings, args.strict));
    return exit;
  },
});

/** 2 comes first: what cannot be read cannot be judged. */
export function exitOfFindings(
  findings: readonly Finding[],
  { isStrict, unreadable }: { readonly isStrict: boolean; readonly unreadable: readonly string[] },
): number {
  if (unreadable.length > 0 || findings.some(({ isMissing }) => isMissing === true)) return EXIT.unreadable;
  return findings.some(({ severity }) => severity === 'error' || isStrict) ? EXIT.failed : EXIT.ok;
}

/** False after the faults were told. A lock that is not there yet is begun. */
function updateLock(root = '.'): boolean {
  const file = join(root, LOCK_PATH);
  try {
    writeFileSync(file, '{}\n', { flag: 'wx' });
  } catch (fault) {
    if (!(fault instanceof Error && 'code' in fault && fault.code === 'EEXIST')) throw fault;
  }
  const reading = readMaterial({ root });
  if (reading.kind === 'unreadable') {
    for (const fault of reading.faults) complain(fault);
    return false;
  }
  const { lock, copies } = relocked(reading.material);
  for (const [name, copy] of copies) write(join(root, frozenPath(name)), copy);
  write(file, lock);
  return true;
}

function write(path: string, tree: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(tree, null, 2)}\n`);
}

const lineOf = ({ severity, rule, subject, path, message }: Finding): string =>
  `${severity} ${rule} ${path} ${subject === '' ? '' : `${subject}: `}${message}`;

function linesOf(findings: readonly Finding[], { registry, schemas, examples }: Material): readonly string[] {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const what = `${registry.subjects.length} subjects, ${schemas.size} schemas, ${examples.length} examples`;
  const rules = Object.keys(RULES).length;
  return [
    ...findings.map(lineOf),
    `${rules} rules over ${what}: ${errors} errors, ${findings.length - errors} warnings`,
  ];
}

const reportOf = (findings: readonly Finding[], unreadable: readonly string[], exit: number): object => ({
  exit_code: exit,
  rules: Object.keys(RULES).length,
  unreadable,
  findings: findings.map(({ rule, severity, subject, path, message }) => ({ rule, severity, subject, path, message })),
});

function junitOf(findings: readonly Finding[], isStrict: boolean): string {
  const cases = Object.keys(RULES).map((rule) => {
    const told = findings.filter((finding) => finding.rule === rule && (isStrict || finding.severity === 'error'));
    return { name: rule, failure: told.length === 0 ? undefined : told.map(lineOf).join('\n') };
  });
  return junitReport('contracts', cases);
}
