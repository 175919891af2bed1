// `beamline contracts rules`: every rule of the check, how much it weighs and what it says.
import { defineCommand } from 'citty';
import { RULES } from '../contracts/law/rules.ts';
import { columns } from './explanation-text.ts';
import { print } from './print.ts';

export const contractsRulesCommand = defineCommand({
  meta: { name: 'rules', description: 'List the rules of the contract check' },
  args: { json: { type: 'boolean', default: false, description: 'Print one JSON object' } },
  run({ args }) {
    const rules = Object.entries(RULES).map(([id, { severity, says }]) => ({ id, severity, says }));
    if (args.json) print(JSON.stringify({ rules }, null, 2));
    else for (const line of columns(rules.map(({ id, severity, says }) => [id, severity, says]))) print(line);
  },
});
