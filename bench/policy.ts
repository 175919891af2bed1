// `npm run bench:policy`: what pure decisions cost, in microseconds of one thread, judged against their targets.
// Each decision is timed by itself, because a percentile of batches would hide the slow ones.
// Exit code 0: all targets hold; 1: one is missed.
/* eslint-disable no-console -- a command of its own */
import type { Facts, Snapshot } from '../src/policy/facts.ts';
import { decide } from '../src/policy/decide.ts';
import { type DecisionRecord, recordOf } from '../src/policy/decision-record.ts';
import { parsePolicy } from '../src/policy/parse.ts';
import type { Policy } from '../src/policy/policy.ts';
import { Replay } from '../src/policy/replay.ts';

const DECISIONS = 200_000;
const WARM_UP = 50_000;
const TENANTS = 10_000;
const COMPILES = 200;
const REPLAYS = 200_000;
/** Records a second, made from their lines. */
const REPLAY_RATE_MIN = 50_000;

interface Figure {
  readonly title: string;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of the p99. */
  readonly limitUs: number;
}

const providers = (count: number): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({
    name: `p${i}`,
    weight: 1 + (i % 7),
    labels: { region: i % 2 === 0 ? 'eu' : 'us', tier: i % 3 },
  }));

/** `salt` makes texts that no earlier policy had: equal expressions are compiled once. */
const rules = (count: number, salt = 0): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `rule-${i}`,
    when: `request.input_tokens > ${1_000 * (i + 1) + salt} && task.type == 'ai.chat'`,
    // eslint-disable-next-line unicorn/no-thenable -- the word of the language
    then: { exclude: [`p${i}`], tag: `long-${i}` },
    continue: true,
  }));

function compiled(document: object, tenantId: string): Policy {
  const options = { tenantId, policyId: 'default', revision: 1, knownProviders: new Set<string>() };
  const parsed = parsePolicy(document, options);
  if (parsed.kind === 'valid') return parsed.policy;
  throw new Error(parsed.errors.map(({ path, message }) => `${path} ${message}`).join('\n'));
}

const first: Snapshot = { attempt: 1, failed: new Set<string>(), failureWords: [] };

/** All that a router may know of a provider. */
const known: Snapshot = {
  ...first,
  inFlight: () => 3,
  capacity: () => 10,
  latency: () => ({ ms: 812.3, samples: 12 }),
  errorRate: () => 0.01,
  costMicroUsd: () => 1_200,
};

const factsOf = (tenantId: string, n: number): Facts => ({
  tenantId,
  requestId: `req-${n}`,
  taskType: 'ai.chat',
  model: 'medium',
  stream: false,
  context: { session_id: `s-${n % 1_000}` },
});

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

const at = (sorted: Float64Array, share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;

function decisions(policies: readonly Policy[], explain: boolean): Float64Array {
  let taken = 0;
  const run = (n: number): void => {
    const policy = policies[(n * 7_919) % policies.length];
    if (policy !== undefined && decide(policy, factsOf(policy.tenantId, n), first, explain).kind === 'chosen') taken++;
  };
  timesOf(WARM_UP, run);
  const sorted = timesOf(DECISIONS, run);
  if (taken !== WARM_UP + DECISIONS) throw new Error(`${WARM_UP + DECISIONS - taken} decisions chose nobody`);
  return sorted;
}

const figure = (title: string, sorted: Float64Array, limitUs: number): Figure => ({
  title,
  p50Us: at(sorted, 0.5),
  p99Us: at(sorted, 0.99),
  limitUs,
});

function measure(): readonly Figure[] {
  const small = [compiled({ version: '2.0', providers: providers(4) }, 't')];
  const large = { version: '2.0', providers: providers(100), rules: rules(5) };
  const many = Array.from({ length: TENANTS }, (_, i) => compiled(large, `tenant-${i}`));
  const plain = decisions(many, false);
  const told = decisions(many, true);
  const compile = timesOf(COMPILES, (n) => void compiled({ ...large, rules: rules(50, n + 1) }, 't'));
  return [
    figure('4 providers, no rule', decisions(small, false), 5),
    figure(`100 providers, 5 rules, ${TENANTS} tenants of one template`, plain, 20),
    figure('the same, explained', told, 3 * at(plain, 0.99)),
    figure('compile of 100 providers, 50 rules', compile, 20_000),
  ];
}

/** Records a second: each is read from its line, decided by its own policy and by a candidate. */
function replayRate(): number {
  const policy = compiled({ version: '2.0', providers: providers(10) }, 't');
  const lines = Array.from({ length: 1_000 }, (_, n) => {
    const facts = factsOf('t', n);
    return JSON.stringify(recordOf(policy, facts, known, decide(policy, facts, known, false), n));
  });
  const run = new Replay({ own: () => policy, candidate: () => policy });
  const take = (count: number): void => {
    for (let n = 0; n < count; n++) run.take(JSON.parse(lines[n % lines.length] ?? '') as DecisionRecord);
  };
  take(WARM_UP);
  const start = process.hrtime.bigint();
  take(REPLAYS);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (run.report().mismatch > 0) throw new Error('a record does not replay to its decision');
  return REPLAYS / seconds;
}

const figures = measure();
const rate = replayRate();
const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
console.log(line(['', 'p50, us', 'p99, us', 'p99 at most', '']));
console.log(line(['---', '---', '---', '---', '---']));
for (const { title, p50Us, p99Us, limitUs } of figures) {
  const verdict = p99Us <= limitUs ? 'pass' : 'missed';
  console.log(line([title, p50Us.toFixed(2), p99Us.toFixed(2), limitUs.toFixed(1), verdict]));
}
console.log(
  `\nreplay: ${Math.round(rate)} records/s, at least ${REPLAY_RATE_MIN}: ${rate >= REPLAY_RATE_MIN ? 'pass' : 'missed'}`,
);
console.log(`\nNode ${process.version}`);
if (rate < REPLAY_RATE_MIN || figures.some(({ p99Us, limitUs }) => p99Us > limitUs)) process.exitCode = 1;
