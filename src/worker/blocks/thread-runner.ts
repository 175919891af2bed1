// A thread as a place for work that may have to be killed: no environment, a bounded heap. Code that does not come back to
// the engine, a database's for example, cannot be killed there.
import { Worker } from 'node:worker_threads';
import type { Runner, RunnerWord } from './runners.ts';

const HEAP_MIB = 256;

/** `module` answers each message of its parent with one, and says something when it has loaded. */
export function openThread(module: URL): Runner {
  const thread = new Worker(module, {
    env: {},
    execArgv: [],
    stdin: false,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
  });
  // Said more than once, of which the listener hears the first.
  const gone = (end: 'memory' | 'crash', cause?: unknown): void => runner.onWord({ kind: 'gone', end, cause });
  thread.on('message', (answer: unknown) => runner.onWord({ kind: 'answer', answer }));
  thread.on('error', (fault: unknown) => gone(isOfMemory(fault) ? 'memory' : 'crash', fault));
  thread.on('exit', () => gone('crash'));
  const runner: Runner = {
    onWord: (_word: RunnerWord) => undefined,
    post: (request) => thread.postMessage(request),
    hold(isHeld) {
      if (isHeld) thread.ref();
      else thread.unref();
    },
    async usedMs() {
      const { user, system } = await thread.cpuUsage();
      return (user + system) / 1_000;
    },
    async kill() {
      await thread.terminate();
    },
  };
  return runner;
}

const isOfMemory = (fault: unknown): boolean =>
  fault instanceof Error && 'code' in fault && fault.code === 'ERR_WORKER_OUT_OF_MEMORY';
