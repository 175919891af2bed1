// `beamline ledger reconcile`: holds the rows of a period against jobs, leases, an invoice and, in tests, the provider's own log.
// Exit 0 only when nothing is lost, doubled, phantom or unsettled; what an invoice differs by is listed and changes no exit code.
import { defineCommand } from 'citty';
import type { Reconciliation } from '../contracts/ledger-operations.ts';
import { type InvoiceComparison, invoiceDelta } from '../ledger/invoice-delta.ts';
import { EXIT } from './exit.ts';
import { openLedgerBooks } from './ledger-books.ts';
import { ledgerArgs, openLedgerGround, periodArgs, periodOf } from './ledger-ground.ts';
import { invoiceText, readInvoiceFile } from './ledger-invoice.ts';
import { readTruth, type Truth } from './ledger-truth.ts';
import { print } from './print.ts';
import { coverOf } from './provider-cover.ts';

const MUST_BE_NONE = ['lost', 'doubled', 'phantom', 'unsettled'] as const;
const LISTED = ['cost_mismatch', 'unpriced', 'estimated'] as const;

export const ledgerReconcileCommand = defineCommand({
  meta: {
    name: 'reconcile',
    description:
      'Compare usage rows with jobs, leases, an invoice and a truth; exit 1 if rows are lost, doubled, phantom or unsettled, 2 if an invoice is unreadable',
  },
  args: {
    ...ledgerArgs,
    ...periodArgs,
    invoice: {
      type: 'string',
      valueHint: 'file',
      description:
        'What providers bill, CSV or lines of JSON: day (UTC), provider, model, cost_micro_usd or cost_usd; lists what differs by more than 0.5 %',
    },
    'invoice-provider': {
      type: 'string',
      valueHint: 'ids',
      description: 'Providers that the invoice is of, comma separated; all if absent',
    },
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
    const scope = { period, covers: coverOf(args['invoice-provider']) };
    const invoice = args.invoice === undefined ? undefined : readInvoiceFile(args.invoice, scope);
    if (args.invoice !== undefined && invoice === undefined) return EXIT.unreadable;
    const truth = args.truth === undefined ? undefined : readTruth(args.truth, period, coverOf(args['truth-provider']));
    await using books = await openLedgerBooks(ground);
    const found = await books.reconcile(period, truth);
    const billed = invoice === undefined ? undefined : await invoiceDelta(invoice, scope, books.costs);
    const checked = {
      jobs: books.hasBus,
      leases: books.hasBus,
      truth: truth !== undefined,
      invoice: billed !== undefined,
    };
    print(
      args.json
        ? JSON.stringify({ ...found, ...billed, checked, ...told(truth) }, null, 2)
        : textOf(found, checked, truth, billed),
    );
    return MUST_BE_NONE.every((finding) => found[finding] === 0) ? EXIT.ok : EXIT.failed;
  },
});

const told = (truth: Truth | undefined): object =>
  truth === undefined
    ? {}
    : { arrivals: truth.arrivals, strangers: truth.strangers, repeated_calls: truth.repeated.length };

function textOf(
  found: Reconciliation,
  checked: Readonly<Record<string, boolean>>,
  truth: Truth | undefined,
  billed: InvoiceComparison | undefined,
): string {
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
  if (billed !== undefined) lines.push(...invoiceText(billed));
  return lines.join('\n');
}
