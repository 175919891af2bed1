import { after, before } from 'node:test';
import { type PostgresServer, startPostgresServer } from '../../test/postgres-server.ts';
import { openLog } from '../telemetry/log.ts';
import { migrate } from '../store/migrations.ts';
import { openPostgres } from '../store/postgres.ts';
import { testFold } from './conformance.ts';
import { LEDGER_MIGRATIONS } from './schema.ts';

const log = openLog('silent', { write: () => undefined });

let server: PostgresServer;
before(async () => {
  server = await startPostgresServer();
});
after(() => server.stop());

testFold('the fold on PostgreSQL', async () => {
  const store = openPostgres({ url: server.createDatabase(), log });
  await migrate(store, LEDGER_MIGRATIONS, 0);
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
});
