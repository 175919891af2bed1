// `npm run bench`: starts every candidate, measures them in interleaved rounds, judges the targets, writes the report.
// Exit code 0: all targets hold; 1: an error or a missed target; 2: something could not be judged,
// because a candidate did not start or the run broke off.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { holdMachine } from './alone.ts';
import { type Candidate, CANDIDATES, LOAD_CORE, type Running, startUpstream } from './candidates.ts';
import { pinSelf } from './child.ts';
import { rssMb } from './cpu.ts';
import { runLoad } from './load.ts';
import { describeMachine } from './machine.ts';
import { measure } from './measure.ts';
import { untilReady } from './port.ts';
import { jsonOf, markdownOf, type Report, summaryOf } from './report.ts';
import { Results } from './results.ts';
import { judge } from './targets.ts';
import { requestOf, type Workload, WORKLOADS } from './workloads.ts';

const RAMP_MS = 200;
const WARM_UP_MIN_MS = 700;
/** Answers that every candidate has given before it is measured: compilers decide by counts, not by time. */
const WARM_UP_ANSWERS = 15_000;
const WARM_UP_MAX_MS = 20_000;
const PROBE_MS = 40;

const root = new URL('..', import.meta.url).pathname;
const artifacts = join(root, '_artifacts');

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly candidates: readonly Candidate[];
  /** Writes docs/performance.md; only a full run does unless told to. */
  readonly writes: boolean;
}

interface Ready extends Candidate {
  readonly running: Running;
}

function readPlan(): Plan {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean' },
    },
  });
  const only = values.only?.split(',') ?? CANDIDATES.map(({ id }) => id);
  const unknown = only.find((name) => !CANDIDATES.some(({ id }) => id === name));
  if (unknown !== undefined) throw new Error(`--only knows ${CANDIDATES.map(({ id }) => id).join(', ')}`);
  return {
    rounds: positive(values.rounds ?? (values.quick ? '1' : '4'), '--rounds'),
    seconds: positive(values.seconds ?? (values.quick ? '0.6' : '2'), '--seconds'),
    // What is added is added to the direct way, so that one is always measured.
    candidates: CANDIDATES.filter(({ id }) => id === 'direct' || only.includes(id)),
    writes: values.write ?? (!values.quick && values.only === undefined),
  };
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (value > 0 && value <= 60) return value;
  throw new Error(`${name} takes a number above 0 and at most 60`);
}

/** Starts the candidates one by one; one that does not answer is stopped and missing, and the others go on. */
async function startAll(
  plan: Plan,
  upstream: Running,
  results: Results,
  opened: AsyncDisposableStack,
): Promise<Ready[]> {
  const ready: Ready[] = [];
  for (const candidate of plan.candidates) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- one after the other, so that a start does not disturb the next
      ready.push({ ...candidate, running: await startOne(candidate, upstream, opened) });
      say(`${candidate.title}: ready`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      results.miss(candidate.id, reason);
      say(`${candidate.title}: ${reason}`);
    }
  }
  return ready;
}

async function startOne(candidate: Candidate, upstream: Running, opened: AsyncDisposableStack): Promise<Running> {
  const folder = join(artifacts, 'bench', candidate.id);
  mkdirSync(folder, { recursive: true });
  await using starting = new AsyncDisposableStack();
  const running = await candidate.start({ folder, upstreamPort: upstream.port, opened: starting });
  await untilReady(running.children, () => probe(running));
  opened.use(starting.move());
  return running;
}

/** Tries every kind of workload; tells what is wrong, or nothing. */
async function probe({ port, headers }: Running): Promise<string | undefined> {
  const span = { rampMs: 0, ms: PROBE_MS, begin: () => {}, end: () => {} };
  for (const workload of WORKLOADS.filter(({ connections }) => connections === 1)) {
    const { name, isStream } = workload;
    const load = { port, request: requestOf(workload, port, headers), connections: 1, isStream, events: undefined };
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { errors, firstError } = await runLoad(load, span);
    if (errors > 0) return `${name}: ${firstError}`;
  }
  return undefined;
}

/** The busiest chat, until every candidate's code has been compiled for it. */
async function warmUp(ready: readonly Ready[], upstream: Running): Promise<void> {
  const workload = WORKLOADS.find(({ isStream, connections }) => !isStream && connections === 32);
  if (workload === undefined) throw new Error('no workload to warm up with');
  for (const { running } of ready) {
    const untilMs = performance.now() + WARM_UP_MAX_MS;
    for (let answers = 0; answers < WARM_UP_ANSWERS && performance.now() < untilMs;) {
      const slot = { candidate: running, upstream, workload, events: undefined, rampMs: 0, ms: WARM_UP_MIN_MS };
      // oxlint-disable-next-line no-await-in-loop -- slots must not overlap
      const { requestsPerSecond } = await measure(slot);
      answers += (requestsPerSecond * WARM_UP_MIN_MS) / 1000;
    }
  }
}

/** The rounds: for each workload one candidate after the other, A B C A B C; chunks are counted against the direct way. */
async function runRounds(plan: Plan, ready: readonly Ready[], upstream: Running, results: Results): Promise<void> {
  const events = new Map<Workload, number>();
  say('warm-up');
  await warmUp(ready, upstream);
  for (let round = 0; round <= plan.rounds; round++) {
    const isWarmUp = round === 0;
    say(isWarmUp ? 'a round that does not count' : `round ${round} of ${plan.rounds}`);
    for (const workload of WORKLOADS) {
      for (const { id, title, running } of ready) {
        const ended = running.children.find((child) => !child.isRunning);
        if (ended !== undefined) throw new Error(`${title} ended: ${ended.lastWords()}`);
        // oxlint-disable-next-line no-await-in-loop -- slots must not overlap
        const measurement = await measure({
          candidate: running,
          upstream,
          workload,
          events: events.get(workload),
          rampMs: RAMP_MS,
          ms: isWarmUp ? Math.max(WARM_UP_MIN_MS, plan.seconds * 1000) : plan.seconds * 1000,
        });
        if (workload.isStream && !events.has(workload)) events.set(workload, measurement.events);
        const { errors, firstError = '' } = measurement;
        if (errors > 0) results.note({ candidate: id, workload: workload.name, errors, first: firstError });
        if (!isWarmUp) results.add(id, workload.name, measurement);
      }
    }
  }
  for (const { id, running } of ready) results.setRssMb(id, rssMb(running.children.map(({ pid }) => pid)));
}

function writeReport(plan: Plan, report: Report): void {
  writeFileSync(join(artifacts, 'bench.json'), jsonOf(report));
  process.stdout.write(`${summaryOf(report)}\n`);
  if (plan.writes && report.results.missing.size === 0) {
    writeFileSync(join(root, 'docs/performance.md'), markdownOf(report));
  }
}

function exitCodeOf({ results, verdicts }: Report): number {
  if (results.faults.length > 0 || verdicts.some(({ verdict }) => verdict === 'missed')) return 1;
  return verdicts.some(({ verdict }) => verdict === 'not judged') ? 2 : 0;
}

const say = (text: string): boolean => process.stderr.write(`bench: ${text}\n`);

async function bench(): Promise<number> {
  const plan = readPlan();
  await using opened = new AsyncDisposableStack();
  opened.use(await holdMachine());
  const machine = describeMachine();
  const results = new Results();
  const folder = join(artifacts, 'bench');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  pinSelf(LOAD_CORE);
  const upstream = await startUpstream(folder, opened);
  const ready = await startAll(plan, upstream, results, opened);
  await runRounds(plan, ready, upstream, results);
  const report: Report = {
    machine,
    command: ['npm run bench', ...process.argv.slice(2)].join(' '),
    rounds: plan.rounds,
    seconds: plan.seconds,
    workloads: WORKLOADS,
    candidates: plan.candidates,
    results,
    verdicts: judge(results),
  };
  writeReport(plan, report);
  return exitCodeOf(report);
}

for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130));
try {
  process.exitCode = await bench();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
