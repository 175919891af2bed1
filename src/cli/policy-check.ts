// `beamline policy check`: everything that is wrong with policies, file by file, in one pass (policy 11.5).
import { defineCommand } from 'citty';
import { EXIT } from './exit.ts';
import { catalogueArgs, catalogueOf, exitOfFile, linesOf, type PolicyFile, readPolicyFile } from './policy-file.ts';
import { complain, print } from './print.ts';

export const policyCheckCommand = defineCommand({
  meta: { name: 'check', description: 'Tell every fault of policy files: exit 0 valid, 1 invalid, 2 unreadable' },
  args: {
    'file...': { type: 'positional', required: true, description: 'YAML or JSON documents' },
    ...catalogueArgs,
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  run({ args }) {
    const catalogue = catalogueOf(args);
    const files = args._.map((path) => readPolicyFile(path, catalogue));
    if (args.json) print(JSON.stringify(reportOf(files), null, 2));
    else for (const file of files) tell(file);
    if (catalogue === undefined && files.some(namesUnknown)) {
      complain('Providers were looked for in the document only: --config or --providers tells those of a deployment.');
    }
    return Math.max(EXIT.ok, ...files.map(exitOfFile));
  },
});

function tell(file: PolicyFile): void {
  for (const line of linesOf(file)) print(line);
  if (file.kind === 'valid') print(`${file.file} is valid`);
}

const reportOf = (files: readonly PolicyFile[]): object => ({
  valid: files.every(({ kind }) => kind === 'valid'),
  files: files.map((file) =>
    file.kind === 'unreadable'
      ? { file: file.file, valid: false, unreadable: file.faults, errors: [], warnings: [] }
      : { file: file.file, valid: file.kind === 'valid', errors: file.errors, warnings: file.warnings },
  ),
});

const namesUnknown = (file: PolicyFile): boolean =>
  file.kind === 'invalid' && file.errors.some(({ code }) => code === 'unknown_provider');
