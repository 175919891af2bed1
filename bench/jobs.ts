// `npm run bench:jobs`: durable work on one machine, with its stores on the disk: jobs accepted and completed a second, in
// one process and over NATS, and what a tenant with twenty times the work of the others does to their latency.
// `--seconds` and `--mode` shorten it; `--prof DIR` writes a CPU profile of each process. No target fails the command.
/* eslint-disable no-console, no-await-in-loop -- a command of its own; phases come one after the other */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cpuMs } from './cpu.ts';
import { type JobSite, type SiteMode, startJobSite, TENANTS } from './job-site.ts';
import { endedJobs, offer, type OfferedJob, submitAll } from './job-load.ts';
import { describeMachine } from './machine.ts';
import { percentile } from './statistics.ts';

const ACCEPTED_MIN = 1_500;
const COMPLETED_MIN = 1_000;
const UNFAIR_MAX = 1.5;
const CONNECTIONS = 64;
/** Orders a second of a quiet tenant, and how much more the loud one orders. */
const QUIET_RATE = 20;
const LOUD = 20;

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '15' },
    mode: { type: 'string', default: 'embedded,nats' },
    prof: { type: 'string' },
  },
});
const jobs = Number(values.jobs);
const seconds = Number(values.seconds);

const rows: string[] = [];
for (const mode of values.mode.split(',') as SiteMode[]) {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-bench-jobs-'));
  try {
    await using site = await startJobSite(mode, folder, values.prof);
    await rates(site, mode);
    await fairness(site, mode);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
console.log('| | measured | target | |\n| --- | --- | --- | --- |');
for (const row of rows) console.log(row);
const { cpu, cores, memoryGb, kernel, node, nats, commit, loadBefore } = describeMachine();
console.log(
  `\n${cpu}, ${cores} cores, ${memoryGb} GB, Linux ${kernel}, Node ${node}, ${nats}, ${commit}, load ${loadBefore}`,
);

async function rates(site: JobSite, mode: SiteMode): Promise<void> {
  const [tenant] = TENANTS;
  await completed(site, await submitAll(site, tenant, 500, CONNECTIONS));
  const before = site.processes.map(({ pid }) => cpuMs([pid]));
  const ran = site.arrivals();
  const startMs = performance.now();
  const ordered = await submitAll(site, tenant, jobs, CONNECTIONS);
  const acceptedPerSecond = (jobs * 1000) / (performance.now() - startMs);
  const ranMeanwhile = site.arrivals() - ran;
  await completed(site, ordered);
  const completedPerSecond = (jobs * 1000) / (performance.now() - startMs);
  const used = site.processes.map(
    ({ name, pid }, index) => `${name} ${(((cpuMs([pid]) - (before[index] ?? 0)) * 1000) / jobs).toFixed(0)}`,
  );
  tell(`${mode}: accepted/s, while ${((100 * ranMeanwhile) / jobs).toFixed(0)} % ran`, acceptedPerSecond, ACCEPTED_MIN);
  tell(`${mode}: completed/s, from the first order to the last end`, completedPerSecond, COMPLETED_MIN);
  rows.push(`| ${mode}: processor time of a job in us | ${used.join(', ')} | | |`);
}

async function fairness(site: JobSite, mode: SiteMode): Promise<void> {
  const quiet = TENANTS.slice(1);
  const [loud] = TENANTS;
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
  const alone = await p99(QUIET_RATE);
  const beside = await p99(QUIET_RATE * LOUD);
  const ratio = beside / alone;
  const verdict = ratio <= UNFAIR_MAX ? 'pass' : 'missed';
  rows.push(
    `| ${mode}: p99 of quiet tenants, ${alone} ms; beside one at ${LOUD}x, ${beside} ms | ${ratio.toFixed(2)}x | at most ${UNFAIR_MAX}x | ${verdict} |`,
  );
}

/** All have run and the last ones have ended. */
async function completed(site: JobSite, ordered: readonly OfferedJob[]): Promise<void> {
  const ended = await endedJobs(site, ordered.slice(-CONNECTIONS));
  const bad = ended.find(({ status }) => status !== 'completed');
  if (bad !== undefined) throw new Error(`a job ended as ${bad.status}`);
}

function tell(what: string, measured: number, least: number): void {
  const verdict = measured >= least ? 'pass' : 'missed';
  rows.push(`| ${what} | ${Math.round(measured)} | at least ${least} | ${verdict} |`);
}
