// `beamline ledger migrate`: brings the ledger's tables to this release, or back.
import { defineCommand } from 'citty';
import { LEDGER_MIGRATIONS } from '../ledger/schema.ts';
import { migrate, revert } from '../store/migrations.ts';
import { UsageError } from './exit.ts';
import { ledgerArgs, openLedgerDatabase, openLedgerGround } from './ledger-ground.ts';
import { print } from './print.ts';

export const ledgerMigrateCommand = defineCommand({
  meta: { name: 'migrate', description: 'Apply the migrations that are missing; the role does so at its start' },
  args: {
    ...ledgerArgs,
    'back-to': { type: 'string', valueHint: 'id', description: 'Take back every migration above; their data are lost' },
  },
  async run({ args }) {
    const backTo = args['back-to'];
    if (backTo !== undefined && !/^\d{1,6}$/.test(backTo)) throw new UsageError('--back-to must be a number from 0');
    using ground = openLedgerGround(args);
    await using store = await openLedgerDatabase(ground);
    const ids =
      backTo === undefined
        ? await migrate(store, LEDGER_MIGRATIONS, ground.timers.clock.epochMs())
        : await revert(store, LEDGER_MIGRATIONS, Number(backTo));
    const what = backTo === undefined ? 'applied' : 'taken back';
    print(ids.length === 0 ? 'nothing to do' : `${what}: ${ids.join(', ')}`);
  },
});
