// `beamline policy replay`: decides what routers recorded again, to prove that decisions repeat and to show what a
// changed policy would have made of the same requests (policy 11.3).
import { defineCommand } from 'citty';
import { readYamlFile } from '../config/yaml-file.ts';
import type { ReplayEstimate } from '../contracts/admin-operations.ts';
import type { DecisionRecord, RecordedVerdict } from '../policy/decision-record.ts';
import { Findings } from '../policy/issue.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { type RecordFilter, recordFilter } from '../policy/record-filter.ts';
import { type ReplayReport, replay } from '../policy/replay.ts';
import { isMembers } from '../policy/shape.ts';
import { EXIT, UsageError } from './exit.ts';
import { columns } from './explanation-text.ts';
import { type Catalogue, catalogueArgs, catalogueOf, linesOf, readPolicyFile } from './policy-file.ts';
import { complain, print } from './print.ts';
import { directoriesIn, readRecords } from './record-files.ts';

const TOLD = 20;

export const policyReplayCommand = defineCommand({
  meta: {
    name: 'replay',
    description:
      'Decide recorded requests again: exit 1 if a decision does not repeat or too many change, 2 unreadable',
  },
  args: {
    policy: { type: 'string', required: true, valueHint: 'file', description: 'The document to try' },
    from: { type: 'string', required: true, valueHint: 'dir', description: 'Data directory of a router' },
    'dir...': { type: 'positional', required: false, description: 'More data directories' },
    ...catalogueArgs,
    filter: {
      type: 'string',
      valueHint: 'condition',
      description: 'Only records that it holds for, as a `when` of policies',
    },
    'max-change': { type: 'string', valueHint: 'percent', description: 'Exit 1 if more decisions change' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  run({ args, rawArgs }) {
    const changeMax = args['max-change'] === undefined ? 100 : percentOf(args['max-change']);
    const passes = args.filter === undefined ? () => true : filterIn(args.filter);
    const candidate = candidateOf(args.policy, catalogueOf(args));
    if (candidate === undefined) return EXIT.unreadable;
    const run = read([...directoriesIn(rawArgs), ...args._], (record) => {
      const policy = candidate(record);
      return policy !== undefined && passes(record, policy) ? policy : undefined;
    });
    if (run === undefined) return EXIT.unreadable;
    const { report, torn } = run;
    print(args.json ? JSON.stringify({ ...report, torn_files: torn }, null, 2) : textOf(report));
    if (torn > 0) complain(`${torn} files end in a torn line and were read up to it`);
    const isAllowed = report.changed <= (report.records * changeMax) / 100;
    return report.mismatch === 0 && isAllowed ? EXIT.ok : EXIT.failed;
  },
});

type Candidate = (record: DecisionRecord) => Policy | undefined;

/** Undefined after the faults were told. A document that names its tenant or its policy is tried on their records only. */
function candidateOf(path: string, catalogue: Catalogue | undefined): Candidate | undefined {
  const file = readPolicyFile(path, catalogue);
  if (file.kind !== 'valid') {
    for (const line of linesOf(file)) complain(line);
    return undefined;
  }
  const { tree } = readYamlFile(path);
  const { tenant_id: tenant, policy_id: id } = isMembers(tree) ? tree : {};
  const knownProviders = new Set([...(catalogue?.providers ?? []), ...file.policy.targets.map(({ name }) => name)]);
  const compiled = new Map<string, Policy>();
  // Draws of sessions and experiments hold the names of tenant and policy, so the document is compiled for each of them.
  return ({ tenant_id: tenantId, policy_id: policyId }) => {
    if ((tenant !== undefined && tenant !== tenantId) || (id !== undefined && id !== policyId)) return undefined;
    const key = `${tenantId} ${policyId}`;
    const known = compiled.get(key);
    if (known !== undefined) return known;
    const parsed = parsePolicy(tree, { tenantId, policyId, revision: 0, knownProviders });
    if (parsed.kind === 'valid') compiled.set(key, parsed.policy);
    return compiled.get(key);
  };
}

/** Undefined after the fault was told. */
function read(dirs: readonly string[], candidate: Candidate): { report: ReplayReport; torn: number } | undefined {
  return readRecords(dirs, (files) => {
    const report = replay(files.entries(), { own: (record) => files.own(record), candidate });
    if (report.records > 0) return { report, torn: files.torn };
    complain(`${dirs.join(', ')}: no decision of this policy in ${files.files} files`);
    return undefined;
  });
}

function filterIn(text: string): RecordFilter {
  const findings = new Findings();
  const passes = recordFilter(text, findings);
  const [fault] = findings.errors;
  if (fault === undefined) return passes;
  throw new UsageError(`--filter ${JSON.stringify(text)} ${fault.code}: ${fault.message}`);
}

function percentOf(text: string): number {
  const percent = Number(text);
  if (/^\d+(?:\.\d+)?$/.test(text) && percent <= 100) return percent;
  throw new UsageError(`--max-change ${JSON.stringify(text)} is not a number up to 100`);
}

function textOf(report: ReplayReport): string {
  const { records, tested, mismatch, same, changed, rejected, first_mismatches, first_changes } = report;
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const rows = [
    ['provider', 'before', 'after'],
    ...report.shares.map(({ provider_id: name, before, after }) => [name, percent(before), percent(after)]),
    ['(rejected)', percent(rejected.before / records), percent(rejected.after / records)],
  ];
  return [
    `${records} decisions: ${same} same, ${changed} changed (${percent(changed / records)})`,
    `${tested} tested on their own revision: ${mismatch} mismatch`,
    ...columns(rows),
    estimateText('latency', 'ms', report.expected_latency_ms),
    estimateText('cost', 'micro-USD', report.expected_cost_micro_usd),
    ...listOf('mismatch', mismatch, first_mismatches),
    ...listOf('changed', changed, first_changes),
  ].join('\n');
}

function estimateText(what: string, unit: string, { before, after, covered }: ReplayEstimate): string {
  if (before === undefined || after === undefined) return `estimated ${what}: unknown, not enough is recorded`;
  const least = Math.min(covered.before, covered.after);
  const basis = least === 1 ? '' : `, known for ${(100 * least).toFixed(1)} %`;
  return `estimated ${what}: ${before.toFixed(0)} -> ${after.toFixed(0)} ${unit}${basis}`;
}

function listOf(title: string, count: number, all: ReplayReport['first_changes']): readonly string[] {
  if (count === 0) return [];
  const told = all.slice(0, TOLD);
  return [
    `${title}${count > told.length ? `, the first ${told.length}` : ''}`,
    ...columns(
      told.map(({ seed, attempt, recorded, replayed }) => [
        `${seed} attempt ${attempt}`,
        toldOf(recorded),
        '->',
        toldOf(replayed),
      ]),
    ),
  ];
}

const toldOf = (verdict: RecordedVerdict): string =>
  verdict.kind === 'none'
    ? verdict.code
    : `${verdict.provider_id}${verdict.model === undefined ? '' : ` ${verdict.model}`} (${verdict.reason})`;
