// Numbered changes of a schema, forward and back, each applied once in the order of the numbers.
// G1. A change that was applied never changes again: its checksum is kept, and another one refuses the start.
// G2. All of a run are applied or none, under a lock, whatever number of processes start at once.
import { createHash } from 'node:crypto';
import { BeamlineError } from '../core/errors.ts';
import type { SqlSession, SqlStore } from './sql.ts';

export interface Migration {
  readonly id: number;
  /** Statements, in order. */
  readonly up: readonly string[];
  readonly down: readonly string[];
}

const LOCK = 'beamline_migrations';
const TABLE =
  'CREATE TABLE IF NOT EXISTS schema_migrations (id INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL, checksum TEXT NOT NULL)';

interface Applied {
  readonly id: number;
  readonly checksum: string;
}

/** Applies what is missing; resolves with the ids. Throws `conflict` for a changed migration, or for one that this release does not know. */
export async function migrate(
  store: SqlStore,
  migrations: readonly Migration[],
  epochMs: number,
): Promise<readonly number[]> {
  return store.exclusive(LOCK, async (session) => {
    await session.run(TABLE);
    const applied = await appliedOf(session, migrations);
    const missing = inOrder(migrations).filter(({ id }) => !applied.has(id));
    for (const migration of missing) {
      // eslint-disable-next-line no-await-in-loop -- in their order
      await execute(session, migration.up);
      // eslint-disable-next-line no-await-in-loop -- as above
      await session.run('INSERT INTO schema_migrations (id, applied_at, checksum) VALUES (?, ?, ?)', [
        migration.id,
        epochMs,
        checksumOf(migration),
      ]);
    }
    return missing.map(({ id }) => id);
  });
}

/** Takes back every applied migration above `toId`, the newest first; resolves with the ids. Data in what is dropped is lost. */
export async function revert(
  store: SqlStore,
  migrations: readonly Migration[],
  toId: number,
): Promise<readonly number[]> {
  return store.exclusive(LOCK, async (session) => {
    await session.run(TABLE);
    const applied = await appliedOf(session, migrations);
    const gone = inOrder(migrations)
      .toReversed()
      .filter(({ id }) => id > toId && applied.has(id));
    for (const { id, down } of gone) {
      // eslint-disable-next-line no-await-in-loop -- in their order
      await execute(session, down);
      // eslint-disable-next-line no-await-in-loop -- as above
      await session.run('DELETE FROM schema_migrations WHERE id = ?', [id]);
    }
    return gone.map(({ id }) => id);
  });
}

const inOrder = (migrations: readonly Migration[]): readonly Migration[] => migrations.toSorted((a, b) => a.id - b.id);

async function execute(session: SqlSession, statements: readonly string[]): Promise<void> {
  // eslint-disable-next-line no-await-in-loop -- in their order
  for (const statement of statements) await session.run(statement);
}

const checksumOf = ({ up }: Migration): string => createHash('sha256').update(up.join(';\n')).digest('hex');

async function appliedOf(session: SqlSession, migrations: readonly Migration[]): Promise<ReadonlySet<number>> {
  const rows = await session.all<Applied>('SELECT id, checksum FROM schema_migrations');
  const known = new Map(migrations.map((migration) => [migration.id, checksumOf(migration)]));
  for (const { id, checksum } of rows) {
    const expected = known.get(id);
    if (expected === checksum) continue;
    const what = expected === undefined ? 'is not known to this release' : 'was changed after it was applied';
    throw new BeamlineError('conflict', `the migration ${id} of the database ${what}`);
  }
  return new Set(rows.map(({ id }) => id));
}
