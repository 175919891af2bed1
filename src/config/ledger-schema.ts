// Settings of the ledger (worker 14.4, 16).
import { Type } from 'typebox';
import { operationsSettings } from './operations-schema.ts';
import { integer, section, text } from './setting.ts';

export const ledgerSchema = section({
  url: Type.Optional(
    text(
      'The database: `sqlite:/path/file` or `postgres://user@host:port/database`; an address with a password by reference, `env:NAME` or `file:/path`. Absent is `ledger.sqlite` below `data_dir`, else memory.',
      {
        pattern: '^(sqlite:.+|postgres(ql)?://([^:@/\\s]+@)?[^@\\s]+|env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$',
      },
    ),
  ),
  http: operationsSettings('ledger'),
  batch: integer(500, 1, 5000, 'Usage events of one transaction.'),
  retention_days: integer(400, 90, 36_500, 'Age at which usage rows are exported to `ledger.export_dir` and deleted.'),
  export_dir: Type.Optional(
    text('Folder for the rows that have reached `ledger.retention_days`; absent keeps every row in the database.'),
  ),
});
