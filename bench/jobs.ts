// `npm run bench:jobs`: durable work on one machine, with its stores on the disk: jobs accepted and completed a second, in
// one process and over NATS, and what a tenant with twenty times the work of the others does to their latency. A full run
// writes `docs/performance-jobs.md`; `--jobs`, `--rounds`, `--seconds`, `--warm-up` and `--mode` shorten it; `--prof DIR`
// writes CPU profiles, of each role in a folder of its own. Exit code 0: all targets hold; 1: one is missed.
/* eslint-disable no-console, no-await-in-loop -- a command of its own; phases come one after the other */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { holdMachine } from './alone.ts';
import { cpuMs } from './cpu.ts';
import { type JobSite, type SiteMode, startJobSite, TENANTS } from './job-site.ts';
import { endedJobs, offer, type OfferedJob, submitAll } from './job-load.ts';
import { type Judged, judgedPage, judgedTable, verdictOf } from './judged-page.ts';
import { describeMachine } from './machine.ts';
import { percentile } from './statistics.ts';

const ACCEPTED_MIN = 1_500;
const COMPLETED_MIN = 1_000;
const UNFAIR_MAX = 1.5;
const CONNECTIONS = 64;
/** Orders a second of a quiet tenant, and how much more the loud one orders. */
const QUIET_RATE = 20;
const LOUD = 20;
const PAGE = new URL('../docs/performance-jobs.md', import.meta.url);
const TITLES: Readonly<Record<SiteMode, string>> = { embedded: 'In one process', nats: 'Over NATS' };

const { values } = parseArgs({
  allowNegative: true,
  options: {
    jobs: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '15' },
    'warm-up': { type: 'string', default: '10000' },
    mode: { type: 'string', default: 'embedded,nats' },
    prof: { type: 'string' },
    write: { type: 'boolean' },
  },
});
const jobs = Number(values.jobs);
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const warmUp = Number(values['warm-up']);
const isFull = process.argv.slice(2).every((word) => word === '--write');
const writes = values.write ?? isFull;

const METHOD = `A client in one process orders jobs of \`ai.chat\` over ${CONNECTIONS} connections, each under a key of its own, as fast as they are answered, and looks at their records until the last one has ended; so what is completed counts from the first order. A provider in the same process answers after a millisecond. All of it shares the cores with what is measured, which is started as the launcher starts it, with its logs on. ${warmUp.toLocaleString('en-US')} jobs come first, for the engine compiles the code of the first ten thousand; then ${rounds} rounds of ${jobs.toLocaleString('en-US')}. The processor time of a job is that of the process in the round, threads and system included. After that, for ${rounds} times, five tenants order ${QUIET_RATE} jobs a second each for ${seconds} seconds, and then one of them ${LOUD} times as many beside the others: the latency is that of the other four, from the acceptance to the end as their records tell it. A worker that finds itself overloaded takes no jobs for some seconds; on a machine with other work it may, and then the figures tell of that.`;

await using _machine = await holdMachine();
const machine = describeMachine();
const sections: (readonly [string, readonly Judged[]])[] = [];
for (const mode of values.mode.split(',') as SiteMode[]) {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-bench-jobs-'));
  try {
    await using site = await startJobSite(mode, folder, values.prof);
    await completed(site, await submitAll(site, TENANTS[0], warmUp, CONNECTIONS));
    const figures = [...(await rates(site)), ...(await fairness(site))];
    figures.push(told('times that a worker took no jobs, being overloaded', '', [site.holds()]));
    sections.push([TITLES[mode], figures]);
    console.log(`${TITLES[mode]}\n\n${judgedTable(figures)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
const { cpu, cores, kernel, node, nats, commit, loadBefore } = machine;
console.log(`${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}, ${nats}, ${commit}, load ${loadBefore}`);
if (writes) {
  const command = ['npm run bench:jobs', ...process.argv.slice(2)].join(' ');
  const loadAfter = Number(loadavg()[0]?.toFixed(2));
  writeFileSync(
    PAGE,
    judgedPage({ title: 'Performance of jobs', command, method: METHOD, sections, machine, loadAfter }),
  );
}
if (sections.some(([, figures]) => figures.some((figure) => verdictOf(figure) === 'missed'))) process.exitCode = 1;

async function rates(site: JobSite): Promise<readonly Judged[]> {
  const accepted: number[] = [];
  const ended: number[] = [];
  const ran: number[] = [];
  const users = [...site.processes, { name: 'client and provider', pid: process.pid }];
  const used = users.map(({ name, pid }) => ({ name, pid, us: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    const before = used.map(({ pid }) => cpuMs([pid]));
    const ranBefore = site.arrivals();
    const startMs = performance.now();
    const ordered = await submitAll(site, TENANTS[0], jobs, CONNECTIONS);
    accepted.push((jobs * 1_000) / (performance.now() - startMs));
    ran.push((100 * (site.arrivals() - ranBefore)) / jobs);
    await completed(site, ordered);
    ended.push((jobs * 1_000) / (performance.now() - startMs));
    used.forEach(({ pid, us }, index) => us.push(((cpuMs([pid]) - (before[index] ?? 0)) * 1_000) / jobs));
  }
  const all = accepted.map((_, round) => used.reduce((sum, { us }) => sum + (us[round] ?? 0), 0));
  return [
    { title: 'accepted', unit: 'jobs/s', limit: { atLeast: ACCEPTED_MIN }, values: accepted },
    { title: 'completed', unit: 'jobs/s', limit: { atLeast: COMPLETED_MIN }, values: ended },
    told('had run when the last one was accepted', '%', ran),
    ...used.map(({ name, us }) => told(`processor time of a job: ${name}`, 'us', us)),
    told('processor time of a job: all', 'us', all),
  ];
}

async function fairness(site: JobSite): Promise<readonly Judged[]> {
  const [loud, ...quiet] = TENANTS;
  const p99 = async (loudRate: number): Promise<number> => {
    const offered = await Promise.all([
      offer(site, loud, loudRate, seconds),
      ...quiet.map((tenant) => offer(site, tenant, QUIET_RATE, seconds)),
    ]);
    await completed(site, offered.flat());
    const ended = await endedJobs(site, offered.slice(1).flat());
    return percentile(
      ended.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b),
      0.99,
    );
  };
  const alone: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await p99(QUIET_RATE));
    beside.push(await p99(QUIET_RATE * LOUD));
  }
  const ratios = beside.map((ms, round) => ms / (alone[round] ?? Number.NaN));
  return [
    told('p99 of four tenants beside one like them', 'ms', alone),
    told(`p99 of four tenants beside one at ${LOUD}x`, 'ms', beside),
    { title: 'the latter against the former', unit: 'x', limit: { atMost: UNFAIR_MAX }, values: ratios },
  ];
}

/** All have run and the last ones have ended. */
async function completed(site: JobSite, ordered: readonly OfferedJob[]): Promise<void> {
  const ended = await endedJobs(site, ordered.slice(-CONNECTIONS));
  const bad = ended.find(({ status }) => status !== 'completed');
  if (bad !== undefined) throw new Error(`a job ended as ${bad.status}`);
}

/** Shown, and not judged. */
function told(title: string, unit: string, measured: readonly number[]): Judged {
  return { title, unit, limit: undefined, values: measured };
}
