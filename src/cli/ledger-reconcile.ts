// `beamline ledger reconcile`: holds the rows of a period against jobs, leases and, in tests, the provider's own log.
// Exit 0 only when nothing is lost, doubled, phantom or unsettled.
import { defineCommand } from 'citty';
import { jobWitness, leasesPastHold } from '../app/ledger-witness.ts';
import type { Reconciliation } from '../contracts/ledger-operations.ts';
import { reconcile } from '../ledger/reconcile.ts';
import { EXIT } from './exit.ts';
import {
  ledgerArgs,
  openLedgerBus,
  openLedgerDatabase,
  openLedgerGround,
  periodArgs,
  periodOf,
} from './ledger-ground.ts';
import { readTruth, type Truth } from './ledger-truth.ts';
import { print } from './print.ts';

const MUST_BE_NONE = ['lost', 'doubled', 'phantom', 'unsettled'] as const;
const LISTED = ['cost_mismatch', 'unpriced', 'estimated'] as const;

export const ledgerReconcileCommand = defineCommand({
  meta: {
    name: 'reconcile',
    description:
      'Compare usage rows with jobs, leases and a truth; exit 1 if rows are lost, doubled, phantom or unsettled',
  },
  args: {
    ...ledgerArgs,
    ...periodArgs,
    truth: { type: 'string', valueHint: 'file', description: "The simulated provider's log (beamline sim --log)" },
    'truth-provider': {
      type: 'string',
      valueHint: 'ids',
      description: 'Providers whose calls the log holds, comma separated; all if absent',
    },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  async run({ args }) {
    using ground = openLedgerGround(args);
    const period = periodOf(args, ground.timers.clock.epochMs());
    const truth =
      args.truth === undefined ? undefined : readTruth(args.truth, period, providersOf(args['truth-provider']));
    await using store = await openLedgerDatabase(ground);
    await using bus = await openLedgerBus(ground);
    const jobs = bus === undefined ? [] : [await jobWitness(bus, period)];
    const unsettled = bus === undefined ? [] : await leasesPastHold(bus, ground.timers.clock.epochMs());
    const found = await reconcile(store, period, [...jobs, ...(truth === undefined ? [] : [truth])], unsettled);
    const checked = { jobs: bus !== undefined, leases: bus !== undefined, truth: truth !== undefined };
    print(args.json ? JSON.stringify({ ...found, checked, ...told(truth) }, null, 2) : textOf(found, checked, truth));
    return MUST_BE_NONE.every((finding) => found[finding] === 0) ? EXIT.ok : EXIT.failed;
  },
});

const providersOf = (ids: string | undefined): ReadonlySet<string> | undefined =>
  ids === undefined ? undefined : new Set(ids.split(',').map((id) => id.trim()));

const told = (truth: Truth | undefined): object =>
  truth === undefined
    ? {}
    : { arrivals: truth.arrivals, strangers: truth.strangers, repeated_calls: truth.repeated.length };

function textOf(found: Reconciliation, checked: Readonly<Record<string, boolean>>, truth: Truth | undefined): string {
  const unchecked = Object.keys(checked).filter((name) => checked[name] === false);
  const lines = [
    `${found.rows} attempts in the ledger, ${found.attempts} known beside it`,
    ...(truth === undefined
      ? []
      : [
          `${truth.arrivals} arrivals at the provider, ${truth.strangers} without a name, ${truth.repeated.length} repeated`,
        ]),
    ...MUST_BE_NONE.map((finding) => `${finding.padEnd(14)} ${found[finding]}`),
    ...LISTED.map((finding) => `${finding.padEnd(14)} ${found[finding]}`),
    `${'estimated %'.padEnd(14)} ${(100 * found.estimated_share).toFixed(2)}`,
  ];
  if (unchecked.length > 0) lines.push(`not compared: ${unchecked.join(', ')}`);
  for (const [finding, examples] of Object.entries(found.examples)) {
    for (const example of examples) lines.push(`  ${finding}: ${example}`);
  }
  return lines.join('\n');
}
