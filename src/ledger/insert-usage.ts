// Usage rows into their table, each key once.
import { rowsOf, type SqlSession, type SqlValue } from '../store/sql.ts';
import { byLength, inChunks } from './chunks.ts';
import { USAGE_COLUMNS } from './schema.ts';
import type { FoldedUsage } from './usage-row.ts';

/** Inserts what has a new key; resolves with those. Keys must differ, and come in order where many are inserted. */
export async function insertNew(session: SqlSession, usages: readonly FoldedUsage[]): Promise<readonly FoldedUsage[]> {
  const fresh: FoldedUsage[] = [];
  await inChunks(usages, async (chunk) => {
    const params: SqlValue[] = [];
    for (const { row } of chunk) for (const column of USAGE_COLUMNS) params.push(row[column]);
    const rows = await session.all<{ usage_id: string }>(insertOf(chunk.length), params);
    if (rows.length === chunk.length) return void fresh.push(...chunk);
    const ids = new Set(rows.map(({ usage_id }) => usage_id));
    fresh.push(...chunk.filter(({ row }) => ids.has(row.usage_id)));
  });
  return fresh;
}

const insertOf = byLength(
  (rows) =>
    `INSERT INTO usage_events (${USAGE_COLUMNS.join(', ')}) VALUES ${rowsOf(rows, USAGE_COLUMNS.length)}
   ON CONFLICT (usage_id) DO NOTHING RETURNING usage_id`,
);
