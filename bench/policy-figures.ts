// What policies must reach: the tables of policy 13, the lookups of 12.3, and what the router's issue adds to them. A figure that
// is not there fails as one that is too large does.
import { type Machine, machineRows } from './machine.ts';
import { table } from './table.ts';

/** Measured values by the id of their target; what could not be measured is absent. */
export type Figures = Record<string, number>;

export interface Target {
  readonly id: string;
  readonly section: string;
  readonly title: string;
  readonly unit: string;
  /** Undefined for what is only shown. */
  readonly limit: { readonly atMost: number } | { readonly atLeast: number } | undefined;
}

export type Verdict = 'pass' | 'missed' | 'missing' | 'for information';

export const SIZES = [1, 10, 100] as const;
const DECISIONS = 'Pure decisions, steps 6 to 12';
const POLICIES = 'Policies in memory';
const LOOKUPS = 'Lookups and decisions while the HTTP store fails';
const MACHINE = 'Over NATS, and replay';

const plural = (count: number): string => (count === 1 ? '1 provider' : `${count} providers`);

const matrix = (
  kind: 'weights' | 'full',
  limits: readonly (readonly [p50: number, p99: number])[],
): readonly Target[] =>
  SIZES.flatMap((size, index) => {
    const [p50 = 0, p99 = 0] = limits[index] ?? [];
    const what = `${kind === 'full' ? 'full policy' : 'weights only'}, ${plural(size)}`;
    return [
      { id: `${kind}-${size}-p50`, section: DECISIONS, title: `${what}: p50`, unit: 'us', limit: { atMost: p50 } },
      { id: `${kind}-${size}-p99`, section: DECISIONS, title: `${what}: p99`, unit: 'us', limit: { atMost: p99 } },
    ];
  });

const of = (section: string, id: string, title: string, unit: string, limit: Target['limit']): Target => ({
  section,
  id,
  title,
  unit,
  limit,
});

export const TARGETS: readonly Target[] = [
  ...matrix('weights', [
    [0.5, 3],
    [1, 5],
    [5, 20],
  ]),
  ...matrix('full', [
    [5, 25],
    [10, 50],
    [40, 200],
  ]),
  of(DECISIONS, 'small-p99', '4 providers, no rule: p99', 'us', { atMost: 5 }),
  of(DECISIONS, 'many-p99', '100 providers, 5 rules, 10,000 tenants of one template: p99', 'us', { atMost: 20 }),
  of(DECISIONS, 'told-ratio', 'the same, explained: p99 against that', 'x', { atMost: 3 }),
  of(DECISIONS, 'clock', 'two readings of the clock, which every figure above includes: p50', 'us', undefined),
  of(POLICIES, 'compile-20-p95', 'validate and compile, 20 rules, 10 providers: p95', 'ms', { atMost: 5 }),
  of(POLICIES, 'compile-50-p99', 'validate and compile, 50 rules, 100 providers: p99', 'ms', { atMost: 20 }),
  ...(['files', 'heir'] as const).flatMap((source) => {
    const where = source === 'files' ? 'a folder' : 'the HTTP store';
    const what = `10,000 tenants, a policy of 2 KiB each, from ${where}`;
    return [
      of(POLICIES, `${source}-s`, `${what}: cold load`, 's', { atMost: 5 }),
      of(POLICIES, `${source}-mib`, 'the same: memory added', 'MiB', { atMost: 200 }),
      of(POLICIES, `${source}-resident-mib`, 'the same: resident, with pages that are free again', 'MiB', undefined),
      of(POLICIES, `${source}-lookup-p99`, 'the same: lookup, p99', 'us', { atMost: 5 }),
    ];
  }),
  of(POLICIES, 'swap-mixed', '1,000 swaps under load: decisions that mix two revisions', '', { atMost: 0 }),
  of(POLICIES, 'swap-max', 'the same: slowest decision', 'ms', { atMost: 10 }),
  of(LOOKUPS, 'lookup-well', 'the store answers: p95', 'ms', undefined),
  of(LOOKUPS, 'lookup-slow', 'it answers after its time: p95', 'ms', { atMost: 1 }),
  of(LOOKUPS, 'lookup-down', 'it is down: p95', 'ms', { atMost: 1 }),
  of(LOOKUPS, 'lookup-garbage', 'it returns garbage: p95', 'ms', { atMost: 1 }),
  of(LOOKUPS, 'decide-well', 'a decision while it answers: p99', 'ms', undefined),
  of(LOOKUPS, 'decide-down', 'a decision while it is down: p99', 'ms', undefined),
  of(LOOKUPS, 'decide-down-ratio', 'the latter against the former', 'x', { atMost: 1.05 }),
  of(MACHINE, 'nats-p50', 'decide over NATS, 1,000 requests a second: p50', 'ms', { atMost: 1 }),
  of(MACHINE, 'nats-p99', 'the same: p99', 'ms', { atMost: 5 }),
  of(MACHINE, 'replay', 'replay, from lines', 'records/s', { atLeast: 50_000 }),
];

export function verdictOf({ id, limit }: Target, figures: Figures): Verdict {
  const value = figures[id];
  if (value === undefined || Number.isNaN(value)) return 'missing';
  if (limit === undefined) return 'for information';
  return ('atMost' in limit ? value <= limit.atMost : value >= limit.atLeast) ? 'pass' : 'missed';
}

export function tableOf(figures: Figures, section: string): string {
  const rows = TARGETS.filter((target) => target.section === section).map((target) => {
    const { id, title, unit, limit } = target;
    return [title, boundOf(limit, unit), shown(figures[id], unit), verdictOf(target, figures)];
  });
  return table(['', 'Target', 'Measured', ''], rows);
}

export const SECTIONS: readonly string[] = [DECISIONS, POLICIES, LOOKUPS, MACHINE];

export function boundOf(limit: Target['limit'], unit: string): string {
  if (limit === undefined) return '';
  const [word, value] = 'atMost' in limit ? ['at most', limit.atMost] : ['at least', limit.atLeast];
  return `${word} ${value.toLocaleString('en-US')}${unit === 'x' ? '' : ' '}${unit}`.trimEnd();
}

export function shown(value: number | undefined, unit: string): string {
  if (value === undefined) return '';
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 4;
  const text = digits === 0 ? Math.round(value).toLocaleString('en-US') : value.toFixed(digits);
  return `${text}${unit === 'x' ? '' : ' '}${unit}`.trimEnd();
}

export interface PolicyReport {
  readonly machine: Machine;
  readonly command: string;
  readonly decisions: number;
  readonly figures: Figures;
  /** Of the last minute when the run ended. */
  readonly loadAfter: number;
}

export function pageOf({ machine, command, decisions, figures, loadAfter }: PolicyReport): string {
  const sections = SECTIONS.map((section) => `## ${section}\n\n${tableOf(figures, section)}`);
  return `# Performance of policies

This page is generated by \`npm run bench:policy\`; do not edit it. Made on ${machine.date} by \`${command}\`.

Each decision is timed by itself on one thread, ${decisions.toLocaleString('en-US')} of each kind after a warm-up, without explanation and with breakers on; the full policy has five rules in CEL that all match, and an experiment. A cold load is a process of its own; its memory is what is held after a collection. Lookups are timed from the turn of the event loop in which one is wanted, so that whatever the source of policies does to the loop is in the figure; so are decisions while the store is down, which take turns with those while it answers. Swaps and decisions over NATS are timed from the moment at which each was due. Compiling and replaying are counted in processor time of their thread, all else by the clock. The machine may be shared: work of others is in the upper percentiles and in the slowest decision; of a run alone the load afterwards is about one.

${sections.join('\n\n')}

## Machine

${table(['', ''], [...machineRows(machine), ['Load before and after the run', `${machine.loadBefore}, ${loadAfter}`]])}
`;
}
