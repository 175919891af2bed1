// Beamline as whoever runs it has it, with the launcher's flags: what is measured without them is something else.
import { fileURLToPath } from 'node:url';
import { startProgram, type TestProcess } from '../test/process.ts';

const LAUNCHER = fileURLToPath(new URL('../beamline', import.meta.url));

/** The launcher replaces itself, so the process id is that of Beamline. */
export const startLaunched = (args: readonly string[], env: Readonly<Record<string, string>> = {}): TestProcess =>
  startProgram(LAUNCHER, args, env);
