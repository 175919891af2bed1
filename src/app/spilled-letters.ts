// The file of dead letters that the bus refuses, one for each role of a process (worker 4).
import type { Bus } from '../bus/bus.ts';
import type { LetterSpill } from '../bus/dead-letters.ts';
import { returnLetters } from '../bus/letter-return.ts';
import { SpillFile } from '../store/spill-file.ts';
import type { Ground } from './ground.ts';

export interface SpilledLetters extends AsyncDisposable {
  /** Undefined without `dlq.path`. */
  readonly spill: LetterSpill | undefined;
}

/** The worker's is the path itself, the others have the name of their role behind it. Throws as `SpillFile.open` does. */
export async function openSpilledLetters(
  { config, timers, telemetry }: Ground,
  bus: Bus,
  role: 'router' | 'worker' | 'ledger',
): Promise<SpilledLetters> {
  const { path, max_bytes: bytesMax, total_max_bytes: totalBytesMax } = config.dlq;
  if (path === undefined) return { spill: undefined, [Symbol.asyncDispose]: async () => undefined };
  await using opening = new AsyncDisposableStack();
  const own = role === 'worker' ? path : `${path}.${role}`;
  const letters = opening.use(await SpillFile.open({ path: own, bytesMax, totalBytesMax }));
  opening.use(returnLetters({ bus, timers, log: telemetry.log.for(role), letters }));
  const opened = opening.move();
  return { spill: letters, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
