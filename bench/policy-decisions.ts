// What pure decisions cost, compiling and replaying, each timed by itself: a percentile of batches would hide the slow ones.
import { decide } from '../src/policy/decide.ts';
import { type DecisionRecord, recordOf } from '../src/policy/decision-record.ts';
import type { Facts } from '../src/policy/facts.ts';
import type { Policy } from '../src/policy/policy.ts';
import { Replay } from '../src/policy/replay.ts';
import {
  ALL_KNOWN,
  BREAKERS_ON,
  compiled,
  fullDocument,
  MATCHING,
  providers,
  requests,
  rules,
  weightsDocument,
} from './policy-documents.ts';
import { type Figures, SIZES } from './policy-figures.ts';
import { percentile } from './statistics.ts';

const WARM_UP = 50_000;
const TENANTS = 10_000;
const COMPILES = 200;
const REPLAYS = 200_000;
/** A power of two, so that taking the next one costs nothing. */
const REQUESTS = 4_096;

/** Times `run` for each of so many numbers; sorted microseconds. */
function timesOf(count: number, run: (n: number) => void): Float64Array {
  const us = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    const start = process.hrtime.bigint();
    run(n);
    us[n] = Number(process.hrtime.bigint() - start) / 1_000;
  }
  return us.toSorted();
}

interface Of {
  readonly count: number;
  readonly facts?: readonly Facts[];
  readonly explain?: boolean;
  /** The tags of every decision, as a proof that rules matched. */
  readonly tags?: number;
}

const plain = requests(REQUESTS);
const matching = requests(REQUESTS, MATCHING);

function decisions(policies: readonly Policy[], { count, facts = plain, explain = false, tags = 0 }: Of): Float64Array {
  let right = 0;
  const run = (n: number): void => {
    const policy = policies[(n * 7_919) % policies.length];
    const one = facts[n % REQUESTS];
    if (policy === undefined || one === undefined) return;
    const verdict = decide(policy, one, BREAKERS_ON, explain);
    if (verdict.kind === 'chosen' && verdict.tags.length === tags) right++;
  };
  timesOf(WARM_UP, run);
  const sorted = timesOf(count, run);
  if (right !== WARM_UP + count) throw new Error(`${WARM_UP + count - right} decisions are not as they should be`);
  return sorted;
}

/** The matrix of policy 13. */
export function measureMatrix(count: number): Figures {
  const figures: Figures = {
    clock: percentile(
      timesOf(WARM_UP, () => undefined),
      0.5,
    ),
  };
  const sizes = SIZES.map((size) => ({
    size,
    weightsOf: [compiled(weightsDocument(size))],
    fullOf: [compiled(fullDocument(size))],
  }));
  // As in a router, which decides by many policies: code that has seen only one is compiled for that one.
  for (const { weightsOf, fullOf } of sizes) {
    decisions(weightsOf, { count: WARM_UP });
    decisions(fullOf, { count: WARM_UP, facts: matching, tags: 5 });
  }
  for (const { size, weightsOf, fullOf } of sizes) {
    const weights = decisions(weightsOf, { count });
    const full = decisions(fullOf, { count, facts: matching, tags: 5 });
    for (const [kind, sorted] of [
      ['weights', weights],
      ['full', full],
    ] as const) {
      figures[`${kind}-${size}-p50`] = percentile(sorted, 0.5);
      figures[`${kind}-${size}-p99`] = percentile(sorted, 0.99);
    }
  }
  return figures;
}

/** What the issue of the router asks for. */
export function measureMany(count: number): Figures {
  const small = [compiled({ version: '2.0', providers: providers(4) })];
  const large = { version: '2.0', providers: providers(100), rules: rules(5) };
  const many = Array.from({ length: TENANTS }, (_, i) => compiled(large, `tenant-${i}`));
  const untold = percentile(decisions(many, { count }), 0.99);
  const told = percentile(decisions(many, { count, explain: true }), 0.99);
  return {
    'small-p99': percentile(decisions(small, { count }), 0.99),
    'many-p99': untold,
    'told-ratio': told / untold,
  };
}

/** Milliseconds of this thread's processor: what takes longer than a turn of the scheduler would else be timed with its neighbours. */
function busyMs(run: () => void): number {
  const before = process.threadCpuUsage();
  run();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

export function measureCompile(): Figures {
  let salt = 0;
  const compile = (providerCount: number, ruleCount: number): Float64Array =>
    Float64Array.from({ length: COMPILES }, () => {
      salt++;
      const document = { version: '2.0', providers: providers(providerCount), rules: rules(ruleCount, salt) };
      return busyMs(() => void compiled(document));
    }).toSorted();
  compile(10, 20);
  return {
    'compile-20-p95': percentile(compile(10, 20), 0.95),
    'compile-50-p99': percentile(compile(100, 50), 0.99),
  };
}

/** Records a second of this thread: each is read from its line, decided by its own policy and by a candidate. */
export function measureReplay(): Figures {
  const policy = compiled({ version: '2.0', providers: providers(10) });
  const lines = plain.slice(0, 1_000).map((facts, n) => {
    const verdict = decide(policy, facts, ALL_KNOWN, false);
    return JSON.stringify(recordOf(policy, facts, ALL_KNOWN, verdict, n));
  });
  const run = new Replay({ own: () => policy, candidate: () => policy });
  const take = (count: number): void => {
    for (let n = 0; n < count; n++) run.take(JSON.parse(lines[n % lines.length] ?? '') as DecisionRecord);
  };
  take(WARM_UP);
  const ms = busyMs(() => take(REPLAYS));
  if (run.report().mismatch > 0) throw new Error('a record does not replay to its decision');
  return { replay: (REPLAYS * 1_000) / ms };
}
