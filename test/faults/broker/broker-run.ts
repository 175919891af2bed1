// Durable work and interactive calls while a cluster fails as it is told; then what was promised is held against the jobs,
// the ledger and the provider's own log.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNatsCluster } from '../../nats-cluster.ts';
import { until } from '../../until.ts';
import type { Ended } from '../chaos/drained.ts';
import { randomFrom } from '../chaos/random.ts';
import { readAccepted, submitJobs } from '../chaos/submitter.ts';
import { accounts } from './accounts.ts';
import { BROKER_FAULTS, type BrokerFault } from './broker-faults.ts';
import { type Answer, chat, oddAnswers, order, startChats } from './requests.ts';
import { type Roles, startRoles } from './roles.ts';

const CHAT_EVERY_MS = 150;
const JOBS_PER_S = 10;
const HEAL_MS = 45_000;

export interface BrokerRunOptions {
  readonly faults: readonly BrokerFault[];
  readonly seed: number;
  /** A bound on all that follows after the last fault. */
  readonly drainMs: number;
}

export interface BrokerRun {
  /** Of each fault: from its beginning until a job and a call went through again, in milliseconds. */
  readonly healed: readonly { readonly fault: BrokerFault; readonly ms: number }[];
  readonly accepted: number;
  /** Orders that were answered otherwise and repeated, by status. */
  readonly again: Readonly<Record<string, number>>;
  readonly ended: readonly Ended[];
  readonly chats: readonly Answer[];
  /** What must not be; none in a good run. */
  readonly wrong: readonly string[];
}

export async function runBroker({ faults, seed, drainMs }: BrokerRunOptions): Promise<BrokerRun> {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-broker-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const cluster = opened.use(await startNatsCluster());
  const roles = opened.use(await startRoles({ folder, natsUrl: cluster.url, answerMs: 50 }));
  await cluster.inQuorum();
  const sinceMs = Date.now();
  const chats = startChats(roles, CHAT_EVERY_MS);
  const stopping = new AbortController();
  // Else a run that fails would go on asking.
  opened.defer(async () => void (await chats.stop()));
  const healed: { fault: BrokerFault; ms: number }[] = [];
  const logPath = join(folder, 'accepted.ndjson');
  const overMs = faults.length * 12_000;
  const jobs = Math.ceil((overMs / 1000) * JOBS_PER_S);
  const { url, keys } = roles;
  const submitting = submitJobs({
    url,
    keys,
    jobs,
    seed,
    random: randomFrom(seed),
    overMs,
    logPath,
    callers: 'patient',
    signal: stopping.signal,
  });
  opened.defer(async () => {
    stopping.abort();
    await submitting;
  });
  for (const fault of faults) {
    const startedMs = performance.now();
    // eslint-disable-next-line no-await-in-loop -- one after the other
    await BROKER_FAULTS[fault](cluster);
    // eslint-disable-next-line no-await-in-loop -- as above
    await until(`healing of ${fault}`, () => works(roles), HEAL_MS);
    healed.push({ fault, ms: Math.round(performance.now() - startedMs) });
    // eslint-disable-next-line no-await-in-loop -- as above
    await cluster.inQuorum();
  }
  const submitted = await submitting;
  const answers = await chats.stop();
  const accepted = readAccepted(logPath);
  const natsUrl = cluster.nodes[0]?.url ?? '';
  const { ended, wrong } = await accounts(roles, { natsUrl, accepted, sinceMs, drainMs });
  const all = [...submitted.faults, ...wrong, ...oddAnswers(answers)];
  if (accepted.length !== jobs) all.push(`${accepted.length} of ${jobs} jobs were accepted`);
  return { healed, accepted: accepted.length, again: submitted.again, ended, chats: answers, wrong: all };
}

/** Whether a call and the order of a job succeed now. */
async function works(roles: Roles): Promise<boolean> {
  const answers = await Promise.all([chat(roles), order(roles, `probe-${performance.now()}`)]);
  return answers.every(({ status }) => status === 200 || status === 202);
}
