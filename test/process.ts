// Processes that a test starts: their output is kept, their end is awaited, nothing outlives the test.
// One that wrote of an unhandled rejection, an uncaught exception, a leak or a defect fails whoever stops it.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const UNSOUND = /unhandled|uncaught|MaxListenersExceeded|timer_failed|bus_handler_failed|"code":"internal"/i;
const UNTIL_MS = 60_000;
const STOP_MS = 45_000;

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});
// The test runner ends a file that takes too long by a signal; without a handler `exit` would not happen.
process.once('SIGTERM', () => process.exit(1));

export interface TestProcess {
  readonly pid: number;
  output(): string;
  /** Resolves with the first match in the output, or rejects when the process ends or takes too long. */
  until(pattern: RegExp): Promise<RegExpMatchArray>;
  /** Resolves when the process has ended by itself or otherwise. */
  readonly ended: Promise<void>;
  /** Without waiting for anything; after two `stop` expects the exit code 1. */
  signal(signal: NodeJS.Signals): void;
  /** SIGKILL; `stop` then expects nothing but a sound output. */
  kill(): Promise<void>;
  /** The signal, the exit code 0, and an output without unsound words. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Runs the command line with nothing in the environment but the path of programs and `env`. */
export function startBeamline(args: readonly string[], env: Readonly<Record<string, string>> = {}): TestProcess {
  return startNode([MAIN, ...args], env);
}

export const startNode = (args: readonly string[], env: Readonly<Record<string, string>> = {}): TestProcess =>
  startProgram(process.execPath, args, env);

export function startProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): TestProcess {
  // eslint-disable-next-line node/no-process-env -- the search path of programs
  const child = spawn(program, args, { env: { PATH: process.env['PATH'] ?? '', ...env } });
  alive.add(child);
  let output = '';
  let wasKilled = false;
  let signals = 0;
  const watchers = new Set<() => void>();
  const look = (): void => {
    for (const watch of watchers) watch();
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      look();
    });
  }
  const ended = once(child, 'close').then(() => {
    alive.delete(child);
    look();
  });
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const tell = (why: string): void => reject(new Error(`${why} ${pattern}: ${output.slice(-2_000)}`));
        const giveUp = setTimeout(() => settle(() => tell('waited too long for')), UNTIL_MS);
        const settle = (how: () => void): void => {
          clearTimeout(giveUp);
          watchers.delete(watch);
          how();
        };
        const watch = (): void => {
          const match = pattern.exec(output);
          if (match !== null) settle(() => resolve(match));
          else if (!alive.has(child)) settle(() => tell('ended before'));
        };
        watchers.add(watch);
        watch();
      }),
    signal(signal) {
      signals++;
      child.kill(signal);
    },
    async kill() {
      wasKilled = true;
      child.kill('SIGKILL');
      await ended;
    },
    async stop(signal = 'SIGTERM') {
      if (alive.has(child)) child.kill(signal);
      const killer = setTimeout(() => void child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(killer);
      assertSound(output);
      const what = `exit code of ${args.slice(1).join(' ')}: ${output.slice(-2_000)}`;
      if (!wasKilled) assert.equal(child.exitCode, signals > 1 ? 1 : 0, what);
    },
  };
}

function assertSound(output: string): void {
  const unsound = output.split('\n').find((line) => UNSOUND.test(line));
  assert.equal(unsound, undefined);
}
