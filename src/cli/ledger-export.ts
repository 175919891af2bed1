// `beamline ledger export`: usage rows of a period as lines, ordered and repeatable, with a manifest.
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { defineCommand } from 'citty';
import { EXPORT_FORMATS, type ExportManifest, type ExportScope, exportUsage } from '../ledger/usage-export.ts';
import { ledgerArgs, openLedgerDatabase, openLedgerGround, periodArgs, periodOf } from './ledger-ground.ts';
import { complain, print } from './print.ts';

export const ledgerExportCommand = defineCommand({
  meta: { name: 'export', description: 'Write usage rows of a period, with a manifest of rows, totals and SHA-256' },
  args: {
    ...ledgerArgs,
    ...periodArgs,
    format: { type: 'enum', options: [...EXPORT_FORMATS], default: 'json', description: 'json writes a line per row' },
    out: {
      type: 'string',
      valueHint: 'file',
      description: 'Where rows go, the manifest beside it; absent: stdout, the manifest to stderr',
    },
    tenant: { type: 'string', description: 'Only rows of this tenant' },
    run: { type: 'string', description: 'Only rows of this run' },
    key: { type: 'string', description: 'Only rows of this API key' },
  },
  async run({ args }) {
    using ground = openLedgerGround(args);
    await using store = await openLedgerDatabase(ground);
    const { tenant, run, key } = args;
    const scope: ExportScope = {
      ...periodOf(args, ground.timers.clock.epochMs()),
      ...(tenant === undefined ? {} : { tenant }),
      ...(run === undefined ? {} : { run }),
      ...(key === undefined ? {} : { key }),
    };
    const to = (write: (text: string) => Promise<void> | void): Promise<ExportManifest> =>
      exportUsage(store, scope, args.format, write);
    if (args.out === undefined) {
      complain(JSON.stringify(await to((text) => print(text.replace(/\n$/, '')))));
      return;
    }
    await using file: FileHandle = await open(args.out, 'w', 0o600);
    const manifest = await to((text) => file.appendFile(text));
    await file.sync();
    await writeFile(`${args.out}.manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
    print(`${manifest.rows} rows, ${manifest.totals.cost_micro_usd} micro-USD, sha256 ${manifest.sha256}`);
  },
});
