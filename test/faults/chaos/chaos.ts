// Durable work while processes are killed: orders jobs through the public door, cancels some and gives some too little
// time, kills what the seed says, lets everything come to rest, and holds what the client was promised against what the jobs, the ledger and the provider say.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { drain, type Drained } from './drained.ts';
import { type Fleet, type FleetOptions, startFleet, type Victim } from './fleet.ts';
import { killAll } from './kills.ts';
import { randomFrom } from './random.ts';
import { readAccepted, type Submitted, submitJobs } from './submitter.ts';

/** The ack wait of the ledger's consumer, and some seconds. */
const SETTLE_MS = 40_000;
const LOOK_MS = 1_000;
const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

export interface ChaosOptions {
  readonly mode: FleetOptions['mode'];
  /** Of NATS, when apart. */
  readonly servers: FleetOptions['servers'];
  readonly jobs: number;
  readonly seed: number;
  readonly killEveryMs: number;
  readonly victims: readonly Victim[];
  /** Least kills of each role; they go on until the orders are done. */
  readonly killsEach: number;
  /** Hears of each kill, and when it was. */
  readonly onKill?: (victim: Victim, seconds: number) => void;
  /** Milliseconds of one answer of the provider. */
  readonly answerMs: number;
  readonly drainMs: number;
  /** Absent: as shipped. */
  readonly ackWaitMs?: number | undefined;
  /** Absent: a temporary folder that is removed. */
  readonly folder?: string | undefined;
}

export interface Findings {
  readonly lost: number;
  readonly doubled: number;
  readonly phantom: number;
  readonly unsettled: number;
  readonly rows: number;
  readonly estimated: number;
  readonly cost_mismatch: number;
  readonly arrivals: number;
  readonly strangers: number;
  readonly repeated_calls: number;
  readonly examples: Readonly<Record<string, readonly string[]>>;
}

export interface Verdict {
  readonly seconds: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly submitted: Submitted;
  readonly accepted: number;
  readonly drained: Drained;
  readonly found: Findings;
  /** What must not be; none in a good run. */
  readonly faults: readonly string[];
}

export async function runChaos(options: ChaosOptions): Promise<Verdict> {
  const startedMs = Date.now();
  const { mode, servers, seed, answerMs, ackWaitMs, drainMs } = options;
  await using opened = new AsyncDisposableStack();
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'beamline-chaos-'));
  if (options.folder === undefined) opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const fleet = opened.use(await startFleet({ mode, servers, folder, random: randomFrom(seed), answerMs }));
  const logPath = join(folder, 'accepted.ndjson');
  const { jobs, killEveryMs, victims, killsEach } = options;
  const overMs = victims.length * killsEach * killEveryMs;
  const random = randomFrom(seed + 1);
  const { url, keys } = fleet;
  const submitting = submitJobs({ url, keys, jobs, seed, random, overMs, logPath, callers: 'fickle' });
  const onKill = (victim: Victim): void => options.onKill?.(victim, (Date.now() - startedMs) / 1000);
  const killing = killAll(fleet, { ...options, onKill }, submitting);
  const [submitted, kills] = await Promise.all([submitting, killing]);
  await fleet.ready();
  const accepted = readAccepted(logPath);
  const drained = await drain({ fleet, accepted, longestMs: drainMs, ackWaitMs });
  const found = await settled(() => reconciled(fleet, startedMs));
  const seconds = (Date.now() - startedMs) / 1000;
  const seen = { seconds, kills, submitted, accepted: accepted.length, drained, found };
  return { ...seen, faults: faultsOf(seen, accepted, fleet, jobs) };
}

const MUST_BE_NONE = ['lost', 'doubled', 'phantom', 'unsettled', 'cost_mismatch'] as const;

/** Events that a dead process had read are given out again after a while: in one process only the ledger can tell. */
async function settled(look: () => Promise<Findings>): Promise<Findings> {
  const untilMs = performance.now() + SETTLE_MS;
  for (;;) {
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    const found = await look();
    if (MUST_BE_NONE.every((finding) => found[finding] === 0) || performance.now() > untilMs) return found;
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(LOOK_MS);
  }
}

/** `beamline ledger reconcile`, as an operator calls it. */
function reconciled({ database, natsUrl, truth }: Fleet, sinceMs: number): Promise<Findings> {
  const since = new Date(sinceMs).toISOString();
  const bus = natsUrl === undefined ? [] : ['--nats', natsUrl];
  const args = ['--db', database, ...bus, '--since', since, '--truth', truth, '--json'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [MAIN, 'ledger', 'reconcile', ...args], { maxBuffer: 1 << 26 }, (_, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as Findings);
      } catch {
        reject(new Error(`ledger reconcile printed no JSON: ${stdout.slice(0, 500)} ${stderr.slice(0, 500)}`));
      }
    });
  });
}

function faultsOf(
  { submitted, drained, found, accepted }: Omit<Verdict, 'faults'>,
  lines: ReturnType<typeof readAccepted>,
  fleet: Fleet,
  jobs: number,
): readonly string[] {
  const faults = [...submitted.faults, ...drained.faults, ...fleet.ownEnds()];
  if (accepted !== jobs) faults.push(`${accepted} of ${jobs} jobs were accepted`);
  if (new Set(lines.map(({ tenant, id }) => `${tenant} ${id}`)).size !== accepted) faults.push('two keys gave one job');
  for (const finding of MUST_BE_NONE) {
    if (found[finding] === 0) continue;
    faults.push(`${found[finding]} ${finding}: ${(found.examples[finding] ?? []).slice(0, 5).join(', ')}`);
  }
  if (found.repeated_calls > 0) faults.push(`${found.repeated_calls} calls arrived more than once`);
  if (found.strangers > 0) faults.push(`${found.strangers} calls had no name`);
  return faults;
}
