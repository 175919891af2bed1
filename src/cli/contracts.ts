// `beamline contracts`: the law of the wire, and what follows from it.
import { defineCommand } from 'citty';
import { canaryCommand } from './contracts-canary.ts';
import { contractsCheckCommand } from './contracts-check.ts';
import { contractsDiffCommand } from './contracts-diff.ts';
import { contractsDocsCommand } from './contracts-docs.ts';
import { contractsGuardCommand } from './contracts-guard.ts';
import { contractsRulesCommand } from './contracts-rules.ts';

export const contractsCommand = defineCommand({
  meta: { name: 'contracts', description: 'Check the registry of subjects, its schemas and its freeze lock' },
  subCommands: {
    check: contractsCheckCommand,
    diff: contractsDiffCommand,
    docs: contractsDocsCommand,
    guard: contractsGuardCommand,
    rules: contractsRulesCommand,
    canary: canaryCommand,
  },
});
