// Fixtures of policies: requests with the state in which they arrive, and what a policy must make of them.
import { readYamlFile, type YamlFile } from '../config/yaml-file.ts';
import { EXECUTION_ERRORS } from '../core/execution-errors.ts';
import { Findings, pathTo } from '../policy/issue.ts';
import type { Policy } from '../policy/policy.ts';
import { factsOf, REQUEST_SHAPE, type RequestDocument } from '../policy/request-document.ts';
import { check, isMembers, type Shape } from '../policy/shape.ts';
import { providersNamed, SNAPSHOT_SHAPE, type SnapshotDocument, snapshotOf } from '../policy/snapshot-document.ts';
import { linesOf, placed } from './policy-file.ts';
import type { Trial, TrialFailure } from './policy-trial.ts';

type OneOrMore = string | readonly string[];

/** What must come out; a list of providers means one of them. */
export interface Expectation {
  readonly provider?: OneOrMore;
  readonly not_provider?: OneOrMore;
  readonly reason?: OneOrMore;
  readonly error?: OneOrMore;
  readonly model?: OneOrMore;
  readonly fallback_used?: boolean;
  /** The provider of each attempt, in order. */
  readonly tries?: readonly string[];
}

interface TrialDocument {
  readonly request?: RequestDocument;
  readonly snapshot?: SnapshotDocument;
  readonly seed?: string;
  readonly failures?: readonly TrialFailure[];
}

interface FixtureDocument extends TrialDocument {
  readonly name: string;
  readonly expect: Expectation;
}

export interface Fixture {
  readonly name: string;
  readonly trial: Trial;
  readonly expect: Expectation;
}

export type FixtureFile<T> =
  | { readonly kind: 'readable'; readonly found: T }
  | { readonly kind: 'unreadable'; readonly faults: readonly string[] };

const FIXTURES_MAX = 10_000;

const text: Shape = { kind: 'text', charsMin: 1, charsMax: 256 };
const texts: Shape = { kind: 'list', of: text, min: 1, max: 100 };
const oneOrMore: Shape = {
  kind: 'own',
  check: (value, path, context) => check(value, Array.isArray(value) ? texts : text, path, context),
};
const number: Shape = { kind: 'number', min: 0, max: 86_400_000, isInteger: true };
const boolean: Shape = { kind: 'boolean' };

const failure: Shape = {
  kind: 'record',
  fields: {
    code: { shape: { kind: 'word', words: Object.keys(EXECUTION_ERRORS) }, isRequired: true },
    http_status: { shape: { kind: 'number', min: 100, max: 599, isInteger: true } },
    retry_after_ms: { shape: number },
    committed: { shape: boolean },
    after_ms: { shape: number },
  },
};

const trialFields = {
  request: { shape: REQUEST_SHAPE },
  snapshot: { shape: SNAPSHOT_SHAPE },
  seed: { shape: text },
  failures: { shape: { kind: 'list', of: failure, min: 0, max: 10 } },
} as const satisfies Record<string, { shape: Shape }>;

const expectation: Shape = {
  kind: 'record',
  fields: {
    provider: { shape: oneOrMore },
    not_provider: { shape: oneOrMore },
    reason: { shape: oneOrMore },
    error: { shape: oneOrMore },
    model: { shape: oneOrMore },
    fallback_used: { shape: boolean },
    tries: { shape: { kind: 'list', of: text, min: 0, max: 11 } },
  },
};

const fixture: Shape = {
  kind: 'record',
  fields: {
    name: { shape: text, isRequired: true },
    ...trialFields,
    expect: { shape: expectation, isRequired: true },
  },
};

const FIXTURES_SHAPE: Shape = { kind: 'list', of: fixture, min: 1, max: FIXTURES_MAX };
const TRIAL_SHAPE: Shape = { kind: 'record', fields: trialFields };

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
    isMembers(yaml.tree) && !Object.keys(trialFields).some((key) => Object.hasOwn(Object(yaml.tree), key));
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
  const isNamed = policies.some(
    ({ targets, fallbacks }) =>
      targets.some((one) => one.name === name) || fallbacks.some(({ to }) => to.name === name),
  );
  if (!isNamed) findings.error(path, 'unknown_provider', `the policy has no provider '${name}'`);
}

const unreadable = (file: string, yaml: YamlFile, { errors }: Findings): FixtureFile<never> => ({
  kind: 'unreadable',
  faults: [...yaml.faults, ...linesOf({ kind: 'invalid', file, errors: placed(yaml, errors), warnings: [] })],
});
