// `beamline policy diff`: what a change of a policy does to requests, before anybody sends one.
import { defineCommand } from 'citty';
import { readYamlFile } from '../config/yaml-file.ts';
import type { Policy } from '../policy/policy.ts';
import { EXIT, UsageError } from './exit.ts';
import { columns } from './explanation-text.ts';
import { catalogueArgs, catalogueOf, openPolicyFile } from './policy-file.ts';
import { type Fixture, type FixtureFile, readFixtures } from './policy-fixtures.ts';
import { modelsNamed, sampleRequests } from './policy-samples.ts';
import { runTrial, type TrialOutcome } from './policy-trial.ts';
import { complain, print } from './print.ts';

const SAMPLES = 1_000;
const SAMPLES_MAX = 1_000_000;
const CHANGES_TOLD = 20;
const CHANGES_REPORTED = 200;

export const policyDiffCommand = defineCommand({
  meta: { name: 'diff', description: 'Compare what two policies make of the same requests' },
  args: {
    old: { type: 'positional', required: true, description: 'The document before' },
    new: { type: 'positional', required: true, description: 'The document after' },
    fixtures: { type: 'string', valueHint: 'file', description: 'Requests of a fixture file' },
    samples: { type: 'string', valueHint: 'n', description: `Number of made requests (default ${SAMPLES})` },
    seed: { type: 'string', default: 'sample', description: 'Seed of the made requests' },
    ...catalogueArgs,
    'max-change': { type: 'string', valueHint: 'percent', description: 'Exit 1 if more requests change' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  run({ args }) {
    const { fixtures, samples } = args;
    if (fixtures !== undefined && samples !== undefined) throw new UsageError('--samples excludes --fixtures');
    const count = numberOf('--samples', samples ?? String(SAMPLES), SAMPLES_MAX);
    const changeMax = args['max-change'] === undefined ? 100 : numberOf('--max-change', args['max-change'], 100);
    const catalogue = catalogueOf(args);
    const [before, after] = [openPolicyFile(args.old, catalogue), openPolicyFile(args.new, catalogue)];
    if (typeof before === 'number') return typeof after === 'number' ? Math.max(before, after) : before;
    if (typeof after === 'number') return after;
    const requests: FixtureFile<readonly Fixture[]> =
      fixtures === undefined
        ? { kind: 'readable', found: sampleRequests([before, after], modelsOf(args.old, args.new), count, args.seed) }
        : readFixtures(fixtures, [before, after]);
    if (requests.kind === 'unreadable') {
      for (const line of requests.faults) complain(line);
      return EXIT.unreadable;
    }
    const report = compare(before, after, requests.found);
    print(args.json ? JSON.stringify(report, null, 2) : textOf(report));
    return report.changed <= (report.requests * changeMax) / 100 ? EXIT.ok : EXIT.failed;
  },
});

const modelsOf = (...paths: readonly string[]): readonly string[] =>
  paths.flatMap((path) => modelsNamed(readYamlFile(path).tree));

type Side = Pick<TrialOutcome, 'provider' | 'model' | 'reason' | 'error' | 'explanation'>;

interface Report {
  readonly requests: number;
  readonly same: number;
  readonly changed: number;
  readonly rejected: { readonly before: number; readonly after: number };
  /** Share of all requests per provider, 0 to 1. */
  readonly shares: readonly { readonly provider: string; readonly before: number; readonly after: number }[];
  /** The first of them. */
  readonly changes: readonly { readonly name: string; readonly before: Side; readonly after: Side }[];
}

function compare(before: Policy, after: Policy, requests: readonly Fixture[]): Report {
  const counts = new Map<string, { before: number; after: number }>();
  const rejected = { before: 0, after: 0 };
  const changes: { name: string; before: Side; after: Side }[] = [];
  let changed = 0;
  const count = ({ provider }: TrialOutcome, when: 'before' | 'after'): void => {
    const row = provider === undefined ? rejected : (counts.get(provider) ?? { before: 0, after: 0 });
    row[when]++;
    if (provider !== undefined) counts.set(provider, row);
  };
  for (const request of requests) {
    const was = runTrial(before, request.trial);
    const is = runTrial(after, request.trial);
    count(was, 'before');
    count(is, 'after');
    if (was.provider === is.provider && was.model === is.model && was.error === is.error) continue;
    if (changed++ < CHANGES_REPORTED) changes.push({ name: request.name, before: sideOf(was), after: sideOf(is) });
  }
  const shares = Array.from(counts, ([provider, row]) => ({
    provider,
    before: row.before / requests.length,
    after: row.after / requests.length,
  }));
  shares.sort((one, other) => (one.provider < other.provider ? -1 : 1));
  return { requests: requests.length, same: requests.length - changed, changed, rejected, shares, changes };
}

function sideOf({ tries: _tries, tags: _tags, arms: _arms, fallbackUsed: _isUsed, ...side }: TrialOutcome): Side {
  return side;
}

function textOf({ requests, same, changed, rejected, shares, changes }: Report): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const rows = [
    ['provider', 'before', 'after'],
    ...shares.map(({ provider, before, after }) => [provider, percent(before), percent(after)]),
    ['(rejected)', percent(rejected.before / requests), percent(rejected.after / requests)],
  ];
  const told = changes.slice(0, CHANGES_TOLD).map(({ name, before, after }) => [name, toldOf(before), toldOf(after)]);
  return [
    `${requests} requests: ${same} same, ${changed} changed`,
    ...columns(rows),
    ...(told.length === 0 ? [] : [`changed${changed > told.length ? `, the first ${told.length}` : ''}`]),
    ...columns(told.map(([name = '', before = '', after = '']) => [name, before, '->', after])),
  ].join('\n');
}

const toldOf = ({ provider, model, reason, error }: Side): string =>
  provider === undefined ? (error ?? 'none') : `${provider}${model === undefined ? '' : ` ${model}`} (${reason})`;

function numberOf(option: string, text: string, max: number): number {
  const number = Number(text);
  if (/^\d+(?:\.\d+)?$/.test(text) && number <= max) return number;
  throw new UsageError(`${option} ${JSON.stringify(text)} is not a number up to ${max}`);
}
