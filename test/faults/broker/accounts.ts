// What was promised against what became of it: each accepted job ends once, and each call at the provider is billed once.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { drain, type Ended } from '../chaos/drained.ts';
import type { AcceptedLine } from '../chaos/submitter.ts';
import type { Doors } from './roles.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const MUST_BE_NONE = ['lost', 'doubled', 'phantom', 'unsettled', 'strangers', 'repeated_calls'] as const;

export interface Settling {
  /** One server; undefined where all is in one process. */
  readonly natsUrl: string | undefined;
  readonly accepted: readonly AcceptedLine[];
  readonly sinceMs: number;
  /** A bound on the wait for rest. */
  readonly drainMs: number;
}

/** Waits until nothing is under way; `wrong` is what must not be. */
export async function accounts(
  doors: Doors,
  { natsUrl, accepted, sinceMs, drainMs }: Settling,
): Promise<{ readonly ended: readonly Ended[]; readonly wrong: readonly string[] }> {
  const nothing = (): Promise<void> => Promise.resolve();
  const fleet = { ...doors, natsUrl, kill: nothing, ready: nothing, ownEnds: () => [], [Symbol.asyncDispose]: nothing };
  const { ended, faults } = await drain({ fleet, accepted, longestMs: drainMs, ackWaitMs: 2_000 });
  return { ended, wrong: [...faults, ...(await misbilled(doors, natsUrl, sinceMs))] };
}

/** `beamline ledger reconcile` against the provider's log, as an operator calls it. */
async function misbilled(
  { database, truth }: Doors,
  natsUrl: string | undefined,
  sinceMs: number,
): Promise<readonly string[]> {
  const since = new Date(sinceMs).toISOString();
  const bus = natsUrl === undefined ? [] : ['--nats', natsUrl];
  const args = ['--db', database, ...bus, '--since', since, '--truth', truth, '--json'];
  const stdout = await new Promise<string>((resolve) => {
    const options = { maxBuffer: 1 << 26 };
    execFile(process.execPath, [MAIN, 'ledger', 'reconcile', ...args], options, (_, out) => resolve(out));
  });
  const found = JSON.parse(stdout) as Readonly<Record<string, number>> & { readonly examples?: unknown };
  return MUST_BE_NONE.filter((name) => found[name] !== 0).map(
    (name) => `${found[name]} ${name}: ${JSON.stringify(found.examples).slice(0, 500)}`,
  );
}
