// How the launcher starts Beamline: what is measured without its flags is something else.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const FLAGS = flagsIn(readFileSync(new URL('../beamline', import.meta.url), 'utf8'));

function flagsIn(launcher: string): readonly string[] {
  const flags = /^flags='(.*)'$/m.exec(launcher)?.[1];
  if (flags === undefined) throw new Error('the launcher has no flags any more');
  return flags.split(' ');
}

/** Arguments of Node: `flags` beside those of the launcher, then the program with its own. */
export const launched = (args: readonly string[], flags: readonly string[] = []): string[] => [
  ...FLAGS,
  ...flags,
  MAIN,
  ...args,
];
