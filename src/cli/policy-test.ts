// `beamline policy test`: runs the fixtures of a policy, and tells of each that fails what came instead, and why.
import { writeFileSync } from 'node:fs';
import { defineCommand } from 'citty';
import type { Policy } from '../policy/policy.ts';
import { EXIT } from './exit.ts';
import { explanationText } from './explanation-text.ts';
import { junitReport } from './junit.ts';
import { catalogueArgs, catalogueOf, openPolicyFile } from './policy-file.ts';
import { type Fixture, listOf, readFixtures } from './policy-fixtures.ts';
import { runTrial, type TrialOutcome } from './policy-trial.ts';
import { complain, print } from './print.ts';

export const policyTestCommand = defineCommand({
  meta: { name: 'test', description: 'Run fixtures against a policy: exit 0 all hold, 1 one fails, 2 unreadable' },
  args: {
    file: { type: 'positional', required: true, description: 'YAML or JSON document' },
    fixtures: { type: 'string', valueHint: 'file', description: 'Fixtures (default: FILE with .fixtures.yaml)' },
    ...catalogueArgs,
    junit: { type: 'string', valueHint: 'file', description: 'Write a JUnit report' },
  },
  run({ args }) {
    const policy = openPolicyFile(args.file, catalogueOf(args));
    if (typeof policy === 'number') return policy;
    const path = args.fixtures ?? args.file.replace(/(?:\.(?:ya?ml|json))?$/, '.fixtures.yaml');
    const fixtures = readFixtures(path, [policy]);
    if (fixtures.kind === 'unreadable') {
      for (const line of fixtures.faults) complain(line);
      return EXIT.unreadable;
    }
    const cases = fixtures.found.map((fixture) => ({ name: fixture.name, failure: failureOf(policy, fixture) }));
    const failed = cases.filter(({ failure }) => failure !== undefined);
    for (const { name, failure } of failed) print(`FAIL ${name}\n${indented(failure ?? '')}`);
    print(`${path}: ${cases.length - failed.length} of ${cases.length} fixtures hold`);
    if (args.junit !== undefined) writeFileSync(args.junit, junitReport(args.file, cases));
    return failed.length === 0 ? EXIT.ok : EXIT.failed;
  },
});

/** What the fixture expected and did not get, with the explanation; undefined if all of it came. */
export function failureOf(policy: Policy, fixture: Fixture): string | undefined {
  const outcome = runTrial(policy, fixture.trial);
  const wrong = differences(fixture, outcome);
  if (wrong.length === 0) return undefined;
  const { explanation } = outcome;
  return [...wrong, ...(explanation === undefined ? [] : [explanationText(explanation)])].join('\n');
}

function differences({ expect }: Fixture, outcome: TrialOutcome): readonly string[] {
  const lines: string[] = [];
  const got: Readonly<Record<'provider' | 'reason' | 'error' | 'model', string | undefined>> = {
    provider: outcome.provider,
    reason: outcome.reason,
    error: outcome.error,
    model: outcome.model,
  };
  for (const key of ['provider', 'reason', 'error', 'model'] as const) {
    const wanted = expect[key];
    if (wanted !== undefined && !listOf(wanted).includes(got[key] ?? ''))
      lines.push(`expected ${key} ${listOf(wanted).join(' or ')}, got ${toldOf(key, got[key], outcome)}`);
  }
  const unwanted = listOf(expect.not_provider);
  if (outcome.provider !== undefined && unwanted.includes(outcome.provider))
    lines.push(`expected any provider but ${unwanted.join(', ')}, got ${outcome.provider}`);
  const { fallback_used: wantsFallback, tag, arm, tries } = expect;
  if (tag !== undefined && !outcome.tags.includes(tag))
    lines.push(`expected tag ${tag}, got ${outcome.tags.join(', ') || 'none'}`);
  if (arm !== undefined && !outcome.arms.includes(arm))
    lines.push(`expected arm ${arm}, got ${outcome.arms.join(', ') || 'none'}`);
  if (wantsFallback !== undefined && wantsFallback !== outcome.fallbackUsed)
    lines.push(`expected fallback_used ${wantsFallback}, got ${outcome.fallbackUsed ?? 'none'}`);
  if (tries !== undefined && tries.join(' ') !== outcome.tries.join(' '))
    lines.push(`expected tries ${tries.join(', ') || 'none'}, got ${outcome.tries.join(', ') || 'none'}`);
  return lines;
}

const toldOf = (key: string, got: string | undefined, { error, provider }: TrialOutcome): string =>
  got ?? (key === 'error' ? `provider ${provider ?? 'none'}` : error === undefined ? 'none' : `error ${error}`);

const indented = (text: string): string => text.replaceAll(/^/gm, '  ');
