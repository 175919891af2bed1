// `npm run bench:policy`: what policies and decisions cost, judged against the targets of `policy-figures.ts`, and written to
// `docs/performance-policy.md` by a full run. `--decisions N` takes fewer, `--only NAME,...` leaves parts out.
// Exit code 0: all targets hold; 1: one is missed, or a figure is missing.
/* eslint-disable no-console, no-await-in-loop -- a command of its own; parts come one after the other */
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { holdMachine } from './alone.ts';
import { describeMachine } from './machine.ts';
import { measureCompile, measureMany, measureMatrix, measureReplay } from './policy-decisions.ts';
import { type Figures, pageOf, SECTIONS, tableOf, TARGETS, verdictOf } from './policy-figures.ts';
import { measureNats } from './policy-nats.ts';
import { measureOutage } from './policy-outage.ts';
import { measureColdFiles, measureColdHeir, measureLookups, measureSwaps } from './policy-sources.ts';

const DECISIONS = 1_000_000;
const PAGE = new URL('../docs/performance-policy.md', import.meta.url);

const { values } = parseArgs({
  allowNegative: true,
  options: {
    decisions: { type: 'string', default: String(DECISIONS) },
    only: { type: 'string' },
    write: { type: 'boolean' },
  },
});
const decisions = Number(values.decisions);
const writes = values.write ?? (decisions >= DECISIONS && values.only === undefined);

const PARTS: Readonly<Record<string, () => Figures | Promise<Figures>>> = {
  nats: measureNats,
  // Before those that leave much behind: a full collection of their memory would be in the slowest decision.
  swaps: measureSwaps,
  'cold-files': measureColdFiles,
  'cold-heir': measureColdHeir,
  lookups: measureLookups,
  outage: () => measureOutage(),
  compile: measureCompile,
  replay: measureReplay,
  many: () => measureMany(decisions),
  matrix: () => measureMatrix(decisions),
};

await using _machine = await holdMachine();
const machine = describeMachine();
const figures: Figures = {};
for (const [name, measure] of Object.entries(PARTS)) {
  if (values.only !== undefined && !values.only.split(',').includes(name)) continue;
  console.error(`bench: ${name}`);
  try {
    Object.assign(figures, await measure());
  } catch (fault) {
    // Its figures are missing, which fails the command; the others are still worth having.
    console.error(`bench: ${name}:`, fault);
  }
}
const unknown = Object.keys(figures).filter((id) => !TARGETS.some((target) => target.id === id));
if (unknown.length > 0) throw new Error(`no target is named ${unknown.join(', ')}`);
const verdicts = new Set(TARGETS.map((target) => verdictOf(target, figures)));
for (const section of SECTIONS) console.log(`${tableOf(figures, section)}\n`);
console.log(
  `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}, ${machine.nats}, ${machine.commit}, load ${machine.loadBefore}`,
);
if (writes && !verdicts.has('missing')) {
  const command = ['npm run bench:policy', ...process.argv.slice(2)].join(' ');
  writeFileSync(PAGE, pageOf({ machine, command, decisions, figures, loadAfter: Number(loadavg()[0]?.toFixed(2)) }));
}
process.exitCode = verdicts.has('missed') || verdicts.has('missing') ? 1 : 0;
