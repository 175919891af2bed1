// `beamline policy explain`: what a policy makes of one request, and why (policy 11.1).
import { defineCommand } from 'citty';
import { EXIT } from './exit.ts';
import { explanationText } from './explanation-text.ts';
import { catalogueArgs, catalogueOf, openPolicyFile } from './policy-file.ts';
import { readTrial } from './policy-fixtures.ts';
import { runTrial } from './policy-trial.ts';
import { complain, print } from './print.ts';

export const policyExplainCommand = defineCommand({
  meta: { name: 'explain', description: 'Explain the decision for a request' },
  args: {
    file: { type: 'positional', required: true, description: 'YAML or JSON document' },
    request: {
      type: 'string',
      required: true,
      valueHint: 'file',
      description: 'A request, or a fixture without name and expectation; - is the standard input',
    },
    seed: { type: 'string', description: 'Seed of the draws (default: tenant and request id)' },
    ...catalogueArgs,
    json: { type: 'boolean', default: false, description: 'Print the explanation as JSON' },
  },
  run({ args }) {
    const policy = openPolicyFile(args.file, catalogueOf(args));
    if (typeof policy === 'number') return policy;
    const trial = readTrial(args.request, policy, args.seed);
    if (trial.kind === 'unreadable') {
      for (const line of trial.faults) complain(line);
      return EXIT.unreadable;
    }
    const { explanation, error, tries, provider, reason } = runTrial(policy, trial.found);
    if (explanation !== undefined)
      print(args.json ? JSON.stringify(explanation, null, 2) : explanationText(explanation));
    if (args.json) return EXIT.ok;
    if (trial.found.failures.length > 0) print(`after the failures: ${provider ?? error} (${reason ?? 'error'})`);
    if (tries.length > 1) print(`attempts: ${tries.join(', ')}`);
    if (error !== undefined) print(`error ${error}`);
    return EXIT.ok;
  },
});
