// A process as a place for work that may have to be killed: no environment, a bounded heap, and death from outside, which
// reaches also code that does not come back to the engine.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Runner, RunnerWord } from './runners.ts';

const HEAP_MIB = 256;

/** `module` answers each message of its parent with one, and says something when it has loaded. */
export function openProcess(module: URL): Runner {
  const child = fork(module, [], {
    env: {},
    execArgv: [`--max-old-space-size=${HEAP_MIB}`, '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'advanced',
  });
  const exited = once(child, 'exit').catch(() => undefined);
  // Said more than once, of which the listener hears the first.
  const gone = (end: 'memory' | 'crash', cause?: unknown): void => runner.onWord({ kind: 'gone', end, cause });
  child.on('message', (answer: unknown) => runner.onWord({ kind: 'answer', answer }));
  child.on('error', (fault) => gone('crash', fault));
  // The engine aborts when its heap is full, and nothing else of ours does.
  child.on('exit', (_code, signal) => gone(signal === 'SIGABRT' || signal === 'SIGTRAP' ? 'memory' : 'crash'));
  const runner: Runner = {
    onWord: (_word: RunnerWord) => undefined,
    post: (request) => void child.send(request as object, (fault) => fault !== null && gone('crash', fault)),
    hold(isHeld) {
      if (isHeld) {
        child.ref();
        child.channel?.ref();
      } else {
        child.unref();
        child.channel?.unref();
      }
    },
    usedMs: async () => 0,
    async kill() {
      child.kill('SIGKILL');
      if (child.pid !== undefined) await exited;
    },
  };
  return runner;
}
