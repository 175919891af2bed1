// `--invoice` of `beamline ledger reconcile`: the file of a provider, and what is told of it.
import { extname } from 'node:path';
import { readsOf } from '../app/file-lines.ts';
import { BeamlineError } from '../core/errors.ts';
import { type Invoice, type InvoiceScope, readInvoice } from '../ledger/invoice.ts';
import type { InvoiceComparison, InvoiceDelta } from '../ledger/invoice-delta.ts';
import type { InvoiceFormat } from '../ledger/invoice-lines.ts';
import { complain } from './print.ts';
import { isUnreadable } from './record-files.ts';

/** Other files are told by their first line. */
const FORMATS: Readonly<Record<string, InvoiceFormat>> = {
  '.csv': 'csv',
  '.json': 'json',
  '.jsonl': 'json',
  '.ndjson': 'json',
};

/** Undefined after the fault was told, as `file:line: reason: what is wrong`. */
export function readInvoiceFile(path: string, scope: InvoiceScope): Invoice | undefined {
  try {
    return readInvoice(readsOf(path), FORMATS[extname(path).toLowerCase()], scope);
  } catch (fault) {
    if (!isUnreadable(fault)) throw fault;
    const { line, reason = 'unreadable' } = fault instanceof BeamlineError ? fault.details : {};
    complain(`${path}${typeof line === 'number' ? `:${line}` : ''}: ${String(reason)}: ${fault.message}`);
    return undefined;
  }
}

export function invoiceText({ invoice, invoice_delta: deltas }: InvoiceComparison): readonly string[] {
  const { lines, lines_outside: outside, cut_days: cutDays, deltas: count } = invoice;
  const sums = `${invoice.invoice_micro_usd} micro-USD billed, ${invoice.ledger_micro_usd} in the ledger`;
  const rest = count - deltas.length;
  return [
    `invoice: ${lines} lines, ${outside} of other days or providers; ${sums}`,
    ...(cutDays.length === 0 ? [] : [`invoice: the period has a part only of ${cutDays.join(', ')}`]),
    `${'invoice_delta'.padEnd(14)} ${count}${count === 0 ? '' : `, ${invoice.deltas_micro_usd} micro-USD together`}`,
    ...deltas.map(deltaText),
    ...(rest === 0 ? [] : [`  invoice_delta: and ${rest} that differ less`]),
  ];
}

/** Names of models are the words of others. */
const deltaText = ({ day, provider, model, ...amounts }: InvoiceDelta): string =>
  `  invoice_delta: ${day} ${provider} ${model === null ? '-' : JSON.stringify(model)} ` +
  `${amounts.invoice_micro_usd} billed, ${amounts.ledger_micro_usd} in the ledger`;
