// Processes that the benchmark starts: each pinned to one core, in a process group of its own, with a log file.
// C1. What was started is stopped, by its own process group: on disposal, on an interrupt and on a crash of the run.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const STOP_WAIT_MS = 5000;
const alive = new Set<number>();

process.on('exit', () => {
  for (const pid of alive) signal(pid, 'SIGKILL');
});

export interface Child extends AsyncDisposable {
  readonly pid: number;
  readonly isRunning: boolean;
  /** The last line that it wrote. */
  lastWords(): string;
}

export interface ChildOptions {
  readonly core: number;
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where its output goes. */
  readonly logPath: string;
}

/** Starts a process; one that cannot start ends at once and says why in its log. */
export function startChild(options: ChildOptions): Child {
  const log = openSync(options.logPath, 'w');
  const variables = Object.entries(options.environment ?? {}).map(([name, value]) => `${name}=${value}`);
  // `taskset` and `env` replace themselves by the command, so this is its process id.
  const child = spawn('taskset', ['-c', String(options.core), 'env', ...variables, ...options.command], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) throw new Error('taskset cannot be started: the benchmark needs Linux with util-linux');
  alive.add(pid);
  const ended = once(child, 'exit').then(() => alive.delete(pid));
  return {
    pid,
    get isRunning() {
      return alive.has(pid);
    },
    lastWords: () => readFileSync(options.logPath, 'utf8').trim().split('\n').at(-1)?.slice(0, 300) ?? '',
    async [Symbol.asyncDispose]() {
      if (!alive.has(pid)) return;
      signal(pid, 'SIGTERM');
      await Promise.race([ended, sleep(STOP_WAIT_MS, undefined, { ref: false })]);
      if (alive.has(pid)) signal(pid, 'SIGKILL');
      await ended;
    },
  };
}

/** Moves this process, all its threads, to one core. */
export function pinSelf(core: number): void {
  const pinned = spawnSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)]);
  if (pinned.status !== 0) throw new Error('cannot pin processes to cores: the benchmark needs Linux and two cores');
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name);
  } catch {
    // It has ended by itself.
  }
}
