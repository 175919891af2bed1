// `beamline policy`: judges policies without a running router.
import { type ArgsDef, type CommandDef, defineCommand } from 'citty';
import { EXIT } from './exit.ts';
import { policyCheckCommand } from './policy-check.ts';
import { policyDiffCommand } from './policy-diff.ts';
import { policyExperimentCommand } from './policy-experiment.ts';
import { policyExplainCommand } from './policy-explain.ts';
import { policyReplayCommand } from './policy-replay.ts';
import { policyTestCommand } from './policy-test.ts';
import { complain } from './print.ts';

interface Later {
  readonly description: string;
  /** Those that it will have, so that nobody is told of wrong usage instead. */
  readonly args: ArgsDef;
}

const LATER: Readonly<Record<string, Later>> = {
  import: {
    description: 'Read the configuration of another gateway',
    args: { 'file...': { type: 'positional', required: false } },
  },
};

const unbuilt = ([name, { description, args }]: readonly [string, Later]): readonly [string, CommandDef] => [
  name,
  defineCommand({
    meta: { name, description: `${description} (not implemented in this release)` },
    args,
    run() {
      complain(`not_implemented: beamline policy ${name} is not implemented in this release`);
      return EXIT.missing;
    },
  }),
];

export const policyCommand = defineCommand({
  meta: { name: 'policy', description: 'Check, test, explain, compare and replay routing policies' },
  subCommands: {
    check: policyCheckCommand,
    validate: policyCheckCommand,
    test: policyTestCommand,
    explain: policyExplainCommand,
    diff: policyDiffCommand,
    replay: policyReplayCommand,
    experiment: policyExperimentCommand,
    ...Object.fromEntries(Object.entries(LATER).map(unbuilt)),
  },
});
