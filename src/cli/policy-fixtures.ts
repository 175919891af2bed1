// Fixtures of policies: requests with the state in which they arrive, and what a policy must make of them.
import { readYamlFile, type YamlFile } from '../config/yaml-file.ts';
import { Findings, pathTo } from '../policy/issue.ts';
import type { Policy } from '../policy/policy.ts';
import { factsOf, REQUEST_SHAPE, type RequestDocument } from '../policy/request-document.ts';
import { check, isMembers } from '../policy/shape.ts';
import { providersNamed, type SnapshotDocument, snapshotOf } from '../policy/snapshot-document.ts';
import { linesOf, placed } from './policy-file.ts';
import {
  type Expectation,
  type FixtureDocument,
  FIXTURES_SHAPE,
  type OneOrMore,
  TRIAL_SHAPE,
  type TrialDocument,
} from './policy-fixture-shape.ts';
import type { Trial } from './policy-trial.ts';

export interface Fixture {
  readonly name: string;
  readonly trial: Trial;
  readonly expect: Expectation;
}

export type FixtureFile<T> =
  | { readonly kind: 'readable'; readonly found: T }
  | { readonly kind: 'unreadable'; readonly faults: readonly string[] };

/** Reads a list of fixtures; providers that none of the `policies` has are faults, so that a slip cannot pass a test. */
export function readFixtures(file: string, policies: readonly Policy[]): FixtureFile<readonly Fixture[]> {
  const yaml = readYamlFile(file);
  const findings = new Findings();
  if (yaml.faults.length === 0) check(yaml.tree, FIXTURES_SHAPE, '', { findings, major: 2 });
  if (yaml.faults.length + findings.errors.length > 0) return unreadable(file, yaml, findings);
  const documents = yaml.tree as readonly FixtureDocument[];
  const names = new Set<string>();
  for (const [index, { name, snapshot, expect }] of documents.entries()) {
    const at = pathTo('', index);
    if (names.has(name)) findings.error(`${at}/name`, 'duplicate', `fixture '${name}' is listed twice`);
    names.add(name);
    if (Object.keys(expect).length === 0) findings.error(`${at}/expect`, 'required', 'must expect something');
    checkProviders(snapshot, `${at}/snapshot`, policies, findings);
    for (const key of ['provider', 'not_provider'] as const) {
      for (const provider of listOf(expect[key])) known(provider, `${at}/expect/${key}`, policies, findings);
    }
  }
  if (findings.errors.length > 0) return unreadable(file, yaml, findings);
  const found = documents.map((one): Fixture => ({
    name: one.name,
    trial: trialOf(one, one.name),
    expect: one.expect,
  }));
  return { kind: 'readable', found };
}

/** Reads one request, alone or as the `request` of what a fixture has beside it; `-` is the standard input. */
export function readTrial(file: string, policy: Policy, seed: string | undefined): FixtureFile<Trial> {
  const yaml = readYamlFile(file);
  const findings = new Findings();
  const isAlone =
    isMembers(yaml.tree) && !Object.keys(TRIAL_SHAPE.fields).some((key) => Object.hasOwn(Object(yaml.tree), key));
  if (yaml.faults.length === 0) {
    check(yaml.tree, isAlone ? REQUEST_SHAPE : TRIAL_SHAPE, '', { findings, major: 2 });
  }
  if (yaml.faults.length + findings.errors.length > 0) return unreadable(file, yaml, findings);
  const document: TrialDocument = isAlone ? { request: yaml.tree as RequestDocument } : (yaml.tree as TrialDocument);
  checkProviders(document.snapshot, '/snapshot', [policy], findings);
  if (findings.errors.length > 0) return unreadable(file, yaml, findings);
  return { kind: 'readable', found: trialOf(document, 'request', seed) };
}

/** What is expected as a list. */
export const listOf = (names: OneOrMore | undefined): readonly string[] =>
  names === undefined ? [] : typeof names === 'string' ? [names] : names;

const trialOf = (document: TrialDocument, requestId: string, seed = document.seed): Trial => ({
  facts: factsOf(document.request ?? {}, requestId, seed),
  snapshot: snapshotOf(document.snapshot ?? {}),
  failures: document.failures ?? [],
});

function checkProviders(
  snapshot: SnapshotDocument | undefined,
  at: string,
  policies: readonly Policy[],
  findings: Findings,
): void {
  for (const [path, name] of providersNamed(snapshot ?? {})) known(name, `${at}${path}`, policies, findings);
}

function known(name: string, path: string, policies: readonly Policy[], findings: Findings): void {
  if (policies.some((policy) => namesOf(policy).has(name))) return;
  findings.error(path, 'unknown_provider', `the policy has no provider '${name}'`);
}

/** Everybody that the policy can send a request to. */
const namesOf = ({ targets, fallbacks, escalations }: Policy): ReadonlySet<string> =>
  new Set([...targets, ...[...fallbacks, ...escalations].map(({ to }) => to)].map(({ name }) => name));

const unreadable = (file: string, yaml: YamlFile, { errors }: Findings): FixtureFile<never> => ({
  kind: 'unreadable',
  faults: [...yaml.faults, ...linesOf({ kind: 'invalid', file, errors: placed(yaml, errors), warnings: [] })],
});
