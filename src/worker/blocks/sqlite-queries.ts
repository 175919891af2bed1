// SQLite files as databases that can be asked: each statement in a process that can be killed (process-runner.ts).
import type { BoundedQueries, QueryAnswer } from '../../store/bounded-query.ts';
import type { Timers } from '../../core/timers.ts';
import { openProcess } from './process-runner.ts';
import { Runners } from './runners.ts';
import type { SqliteRequest } from './sqlite-process.ts';

const PROCESSES_MAX = 4;

export interface SqliteFiles extends AsyncDisposable {
  /** An existing file. */
  open(path: string): Pick<BoundedQueries, 'ask'>;
}

/** `ask` throws `RunEnded` when a process ended before its answer. */
export function openSqliteFiles(timers: Timers): SqliteFiles {
  const runners = new Runners<SqliteRequest, QueryAnswer>({
    open: () => openProcess(new URL('./sqlite-process.ts', import.meta.url)),
    runnersMax: PROCESSES_MAX,
    timers,
  });
  return {
    open: (path) => ({
      async ask(query, signal) {
        return (await runners.run({ ...query, path }, { signal })).answer;
      },
    }),
    [Symbol.asyncDispose]: () => runners[Symbol.asyncDispose](),
  };
}
