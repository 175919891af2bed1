// Usage rows as lines of a file, ordered, the same each time, with a manifest to check them by (worker 14.4).
import { createHash } from 'node:crypto';
import { csvCell } from '../core/csv-cell.ts';
import type { SqlStore, SqlValue } from '../store/sql.ts';
import { USAGE_COLUMNS } from './schema.ts';
import type { UsageRow } from './usage-row.ts';

export const EXPORT_FORMATS = ['json', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

export interface ExportScope {
  /** Unix milliseconds; `until` is not included. */
  readonly since: number;
  readonly until: number;
  readonly tenant?: string;
  readonly run?: string;
  readonly key?: string;
}

export interface ExportManifest extends ExportScope {
  readonly format: ExportFormat;
  readonly rows: number;
  readonly totals: { readonly input_tokens: number; readonly output_tokens: number; readonly cost_micro_usd: number };
  /** Of the file, hex. */
  readonly sha256: string;
}

const PAGE = 1_000;
const FILTERS = { tenant: 'tenant_id', run: 'run_id', key: 'key_id' } as const;

/** Writes line by line and resolves with the manifest. */
export async function exportUsage(
  store: SqlStore,
  scope: ExportScope,
  format: ExportFormat,
  write: (text: string) => Promise<void> | void,
): Promise<ExportManifest> {
  const hash = createHash('sha256');
  const totals = { input_tokens: 0, output_tokens: 0, cost_micro_usd: 0 };
  let rows = 0;
  const put = async (text: string): Promise<void> => {
    hash.update(text);
    await write(text);
  };
  if (format === 'csv') await put(`${USAGE_COLUMNS.join(',')}\n`);
  for await (const page of pagesOf(store, scope)) {
    for (const row of page) {
      rows++;
      totals.input_tokens += row.input_tokens;
      totals.output_tokens += row.output_tokens;
      totals.cost_micro_usd += row.cost_micro_usd;
    }
    await put(page.map(format === 'csv' ? csvOf : jsonOf).join(''));
  }
  return { ...scope, format, rows, totals, sha256: hash.digest('hex') };
}

/** By moment, then by key: new rows of a later moment never change what came before. */
async function* pagesOf(store: SqlStore, scope: ExportScope): AsyncGenerator<readonly UsageRow[]> {
  const where = ['occurred_at < ?', '(occurred_at > ? OR (occurred_at = ? AND usage_id > ?))'];
  const filters: SqlValue[] = [];
  for (const [name, column] of Object.entries(FILTERS)) {
    const value = scope[name as keyof typeof FILTERS];
    if (value === undefined) continue;
    where.push(`${column} = ?`);
    filters.push(value);
  }
  const select = `SELECT * FROM usage_events WHERE ${where.join(' AND ')} ORDER BY occurred_at, usage_id LIMIT ${PAGE}`;
  for (let [atMs, id] = [scope.since, '']; ;) {
    // eslint-disable-next-line no-await-in-loop -- page after page
    const page = await store.all<UsageRow>(select, [scope.until, atMs, atMs, id, ...filters]);
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    [atMs, id] = [last.occurred_at, last.usage_id];
  }
}

const jsonOf = (row: UsageRow): string =>
  `${JSON.stringify(Object.fromEntries(USAGE_COLUMNS.map((column) => [column, row[column]])))}\n`;

const csvOf = (row: UsageRow): string => `${USAGE_COLUMNS.map((column) => csvCell(row[column])).join(',')}\n`;
