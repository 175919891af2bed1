// `beamline ledger`: the role itself, and what operators do with its rows and prices.
import { ledgerExportCommand } from './ledger-export.ts';
import { ledgerMigrateCommand } from './ledger-migrate.ts';
import { ledgerPricesCommand } from './ledger-prices.ts';
import { ledgerReconcileCommand } from './ledger-reconcile.ts';
import { roleCommand } from './role.ts';

export const ledgerCommand = {
  ...roleCommand('ledger'),
  subCommands: {
    prices: ledgerPricesCommand,
    reconcile: ledgerReconcileCommand,
    export: ledgerExportCommand,
    migrate: ledgerMigrateCommand,
  },
};
