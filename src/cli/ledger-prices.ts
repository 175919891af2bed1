// `beamline ledger prices`: shows the active price book, checks a document, and replaces it by compare-and-set.
import { defineCommand } from 'citty';
import { openBus } from '../app/bus.ts';
import { parsePriceDocument } from '../catalog/price-document.ts';
import { readYamlFile } from '../config/yaml-file.ts';
import type { LedgerParams, LedgerResults } from '../contracts/ledger-operations.ts';
import { EXIT, UsageError } from './exit.ts';
import { askLedger } from './ledger-ask.ts';
import { openLedgerGround } from './ledger-ground.ts';
import { complain, print } from './print.ts';
import { roleArgs } from './role-config.ts';

const TIMEOUT_MS = 30_000;
const busArgs = { config: roleArgs.config, nats: roleArgs.nats } as const;
const file = { type: 'positional', required: true, description: 'Price document, YAML or JSON' } as const;

const show = defineCommand({
  meta: { name: 'show', description: 'Print the active price book as JSON' },
  args: busArgs,
  async run({ args }) {
    print(JSON.stringify(await ask(args, 'prices', {}), null, 2));
  },
});

const check = defineCommand({
  meta: { name: 'check', description: 'Check a price document; exit 1 with its faults' },
  args: { file },
  run({ args }) {
    const document = readDocument(args.file);
    if (document === undefined) return EXIT.unreadable;
    return faultsOf(document, args.file) ? EXIT.failed : EXIT.ok;
  },
});

const put = defineCommand({
  meta: { name: 'put', description: 'Replace the price document' },
  args: {
    file,
    ...busArgs,
    revision: {
      type: 'string',
      valueHint: 'n',
      description: 'Revision that is replaced, as shown; 0 for none; absent: whatever is there now',
    },
  },
  async run({ args }) {
    if (args.revision !== undefined && !/^\d{1,15}$/.test(args.revision)) {
      throw new UsageError('--revision must be a number from 0');
    }
    const document = readDocument(args.file);
    if (document === undefined) return EXIT.unreadable;
    if (faultsOf(document, args.file)) return EXIT.failed;
    const revision = args.revision === undefined ? (await ask(args, 'prices', {})).revision : Number(args.revision);
    // The check above read it as an object.
    const written = { document: document as Record<string, unknown>, expected_revision: revision };
    const { version, revision: next } = await ask(args, 'put_prices', written);
    print(`version ${version} is active, revision ${next}`);
    return EXIT.ok;
  },
});

export const ledgerPricesCommand = defineCommand({
  meta: { name: 'prices', description: 'Show, check and replace prices' },
  subCommands: { show, check, put },
});

/** Undefined after the fault was told. */
function readDocument(path: string): unknown {
  const { tree, faults } = readYamlFile(path);
  for (const fault of faults) complain(fault);
  return faults.length > 0 ? undefined : (tree ?? {});
}

/** True after the faults were told. */
function faultsOf(document: unknown, path: string): boolean {
  const parsed = parsePriceDocument(document);
  if (parsed.kind === 'valid') {
    complain(`${path}: version ${parsed.document.version}, ${parsed.document.lines.length} lines`);
    return false;
  }
  for (const issue of parsed.issues) complain(`${path} ${issue.path} ${issue.message}`);
  return true;
}

interface BusArgs {
  readonly config?: string | undefined;
  readonly nats?: string | undefined;
}

/** Throws the ledger's refusal. */
async function ask<Op extends 'prices' | 'put_prices'>(
  args: BusArgs,
  op: Op,
  params: LedgerParams[Op],
): Promise<LedgerResults[Op]> {
  using ground = openLedgerGround(args);
  if (ground.config.nats.url === undefined) throw new UsageError('--nats is required: prices are kept by a ledger');
  await using bus = await openBus(ground, 'ledger-cli');
  return askLedger({ bus, clock: ground.timers.clock, timeoutMs: TIMEOUT_MS }, op, params);
}
