// `npm run check`: what is fast enough to run before every commit, all at once, under ten seconds.
/* eslint-disable no-console, node/no-process-env -- a command of its own */
import { spawn } from 'node:child_process';

// Prose and generated files are left as they were written.
const SOURCES = ['src', 'test', 'bench', 'examples', 'sdk'];

/** In the folder of what the launcher brings, which is ignored. */
const TYPES_SEEN = '.beamline/types.tsbuildinfo';
/** Compiler and linter are Go programs of a few seconds: they have memory, and collecting it costs a fifth of their time. */
const GO_COLLECTS_LESS = { GOGC: '400' };

const CHECKS: Readonly<Record<string, readonly string[]>> = {
  // One checker: each further one instantiates the same library types again. What did not change is not checked again.
  types: ['node_modules/typescript/bin/tsc', '--checkers', '1', '--incremental', '--tsBuildInfoFile', TYPES_SEEN],
  lint: ['node_modules/oxlint/bin/oxlint', '--type-aware', '--quiet', ...SOURCES],
  format: ['node_modules/oxfmt/bin/oxfmt', '--check', ...SOURCES],
  'dead code': ['node_modules/knip/bin/knip.js'],
  tidy: ['--test', 'test/tidy.test.ts'],
  docs: ['src/main.ts', 'docs', 'check'],
  contracts: ['src/main.ts', 'contracts', 'check', '--strict'],
};

const startedMs = performance.now();
const results = await Promise.all(Object.entries(CHECKS).map(([name, args]) => run(name, args)));
for (const { name, output } of results.filter(({ isGreen }) => !isGreen)) console.log(`--- ${name}\n${output}`);
for (const { name, isGreen, seconds } of results) console.log(`${isGreen ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
console.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
process.exitCode = results.every(({ isGreen }) => isGreen) ? 0 : 1;

async function run(name: string, args: readonly string[]) {
  const beganMs = performance.now();
  const env = { ...process.env, ...GO_COLLECTS_LESS };
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { name, output, isGreen: status === 0, seconds: ((performance.now() - beganMs) / 1000).toFixed(1) };
}
