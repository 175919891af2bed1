// `beamline policy experiment`: what the arms of the experiments of policies came to, from the records of routers (policy 5.4).
import { defineCommand } from 'citty';
import { readYamlFile } from '../config/yaml-file.ts';
import type { ArmReport, Measured } from '../policy/arm-tally.ts';
import { type AskedExperiment, type ExperimentReport, ExperimentReports } from '../policy/experiment-report.ts';
import { isMembers } from '../policy/shape.ts';
import { EXIT } from './exit.ts';
import { columns } from './explanation-text.ts';
import { catalogueArgs, catalogueOf, openPolicyFile } from './policy-file.ts';
import { complain, print } from './print.ts';
import { directoriesIn, readRecords } from './record-files.ts';

export const policyExperimentCommand = defineCommand({
  meta: {
    name: 'experiment',
    description: 'Report the arms of experiments from recorded requests: exit 1 if nothing is recorded, 2 unreadable',
  },
  args: {
    'file...': { type: 'positional', required: true, description: 'Policies with experiments' },
    from: {
      type: 'string',
      required: true,
      valueHint: 'dir',
      description: 'Data directory of a router; may be repeated',
    },
    ...catalogueArgs,
    json: { type: 'boolean', default: false, description: 'Print one JSON array' },
  },
  run({ args, rawArgs }) {
    const catalogue = catalogueOf(args);
    const asked: AskedExperiment[] = [];
    for (const path of args._) {
      const policy = openPolicyFile(path, catalogue);
      if (typeof policy === 'number') return policy;
      const tenantId = tenantIn(path);
      for (const { id: experiment, arms } of policy.experiments) {
        asked.push({ tenantId, policyId: policy.policyId, experiment, arms: arms.map(({ name }) => name) });
      }
    }
    if (asked.length === 0) {
      complain(`${args._.join(', ')}: no policy has an experiment that is enabled`);
      return EXIT.unreadable;
    }
    const reports = readRecords(directoriesIn(rawArgs), (files) => {
      const all = new ExperimentReports(asked);
      for (const entry of files.entries()) all.take(entry);
      if (files.torn > 0) complain(`${files.torn} files end in a torn line and were read up to it`);
      return all.report();
    });
    if (reports === undefined) return EXIT.unreadable;
    print(args.json ? JSON.stringify(reports, null, 2) : reports.map(textOf).join('\n\n'));
    if (reports.length > 0) return EXIT.ok;
    complain('no recorded request takes part in these experiments');
    return EXIT.failed;
  },
});

/** A document that names its tenant is about that one only. */
function tenantIn(path: string): string | undefined {
  const { tree } = readYamlFile(path);
  const tenant = isMembers(tree) ? tree['tenant_id'] : undefined;
  return typeof tenant === 'string' ? tenant : undefined;
}

function textOf({ tenant_id, policy_id, experiment, arms, notes }: ExperimentReport): string {
  return [
    `${experiment} of ${policy_id}, tenant ${tenant_id}`,
    ...columns([HEAD, ...arms.map(rowOf)]),
    ...notes.map((note) => `  ${note}`),
  ].join('\n');
}

const HEAD =
  'arm,requests,ended,success,fallback,blocked,p50 ms,p95 ms,mean ms,expected micro-USD,micro-USD,tokens'.split(',');

const rowOf = (arm: ArmReport): readonly string[] => [
  arm.arm,
  `${arm.requests}`,
  `${arm.ended}`,
  measured(arm.success, percent),
  arm.fallback === undefined ? '-' : percent(arm.fallback.value),
  arm.blocked === undefined ? '-' : percent(arm.blocked.value),
  `${arm.latency_p50_ms ?? '-'}`,
  `${arm.latency_p95_ms ?? '-'}`,
  measured(arm.latency_ms, (value) => value.toFixed(0)),
  measured(arm.expected_cost_micro_usd, (value) => value.toFixed(0)),
  measured(arm.cost_micro_usd, (value) => value.toFixed(0)),
  arm.input_tokens === undefined ? '-' : (arm.input_tokens + (arm.output_tokens ?? 0)).toFixed(0),
];

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const measured = (one: Measured | undefined, text: (value: number) => string): string =>
  one === undefined
    ? '-'
    : `${text(one.value)} (${text(one.low)} to ${Number.isFinite(one.high) ? text(one.high) : 'any'})`;
