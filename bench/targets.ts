// What Beamline must reach. A target is judged by the median of its rounds; without its candidates it is not judged.
import type { Results } from './results.ts';
import { type Spread, spreadOf } from './statistics.ts';

export interface Target {
  readonly title: string;
  readonly unit: string;
  /** Undefined for a figure that is shown beside a target and not judged. */
  readonly limit: { readonly atMost: number } | { readonly atLeast: number } | undefined;
  readonly goal?: number;
  /** One value for each round. */
  of(results: Results): number[];
}

export interface Verdict {
  readonly target: Target;
  readonly spread: Spread;
  readonly verdict: 'pass' | 'missed' | 'not judged' | 'for information';
}

const CHAT_1 = 'chat, c=1';
const CHAT_32 = 'chat, c=32';
const STREAM = 'stream of 100 chunks, c=16';

export const TARGETS: readonly Target[] = [
  {
    title: 'embedded, chat, c=32: CPU per request against the bare proxy',
    unit: 'x',
    limit: { atMost: 1.7 },
    goal: 1.5,
    of: (results) => results.ratio('embedded', 'bare', CHAT_32, 'cpuUs'),
  },
  {
    title: 'embedded, chat, c=32: requests per second against Portkey',
    unit: 'x',
    limit: { atLeast: 8 },
    goal: 10,
    of: (results) => results.ratio('embedded', 'portkey', CHAT_32, 'requestsPerSecond'),
  },
  {
    title: 'the same against Portkey on the Node that Beamline uses',
    unit: 'x',
    limit: undefined,
    of: (results) => results.ratio('embedded', 'portkey24', CHAT_32, 'requestsPerSecond'),
  },
  {
    title: "embedded, chat, c=1: added p50 against the bare proxy's",
    unit: 'x',
    limit: { atMost: 2 },
    of(results) {
      const bare = results.added('bare', CHAT_1, 'p50Ms');
      return results
        .added('embedded', CHAT_1, 'p50Ms')
        .slice(0, bare.length)
        .map((added, round) => added / (bare[round] ?? Number.NaN));
    },
  },
  {
    title: 'embedded, stream of 100 chunks, c=16: streams per second against the bare proxy',
    unit: 'x',
    limit: { atLeast: 0.7 },
    of: (results) => results.ratio('embedded', 'bare', STREAM, 'requestsPerSecond'),
  },
  {
    // The rate is bounded by the load's core as well; processor time is not.
    title: 'the same by CPU per stream',
    unit: 'x',
    limit: undefined,
    of: (results) => results.ratio('embedded', 'bare', STREAM, 'cpuUs'),
  },
  {
    title: 'embedded, stream of 100 chunks, c=16: chunks out for each chunk in',
    unit: '',
    limit: { atLeast: 1 },
    of: (results) => results.ratio('embedded', 'direct', STREAM, 'events'),
  },
  {
    title: 'over NATS, chat, c=1: added p50',
    unit: ' ms',
    limit: { atMost: 1 },
    of: (results) => results.added('nats', CHAT_1, 'p50Ms'),
  },
  {
    title: 'over NATS, chat, c=32: requests per second against Portkey',
    unit: 'x',
    limit: { atLeast: 3 },
    of: (results) => results.ratio('nats', 'portkey', CHAT_32, 'requestsPerSecond'),
  },
  {
    title: 'the same against Portkey on the Node that Beamline uses',
    unit: 'x',
    limit: undefined,
    of: (results) => results.ratio('nats', 'portkey24', CHAT_32, 'requestsPerSecond'),
  },
  {
    title: 'embedded: resident memory after the run',
    unit: ' MB',
    limit: { atMost: 180 },
    of: (results) => results.rssMb('embedded'),
  },
];

export function judge(results: Results): Verdict[] {
  return TARGETS.map((target) => {
    const spread = spreadOf(target.of(results));
    return { target, spread, verdict: verdictOf(target, spread.median) };
  });
}

function verdictOf({ limit }: Target, value: number): Verdict['verdict'] {
  if (limit === undefined) return 'for information';
  if (Number.isNaN(value)) return 'not judged';
  const holds = 'atMost' in limit ? value <= limit.atMost : value >= limit.atLeast;
  return holds ? 'pass' : 'missed';
}
