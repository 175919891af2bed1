// Price lines in SQL, by version: what a row was priced by can be read for ever, so a version never changes (worker 14.2).
import { type PriceLine, PRICE_KINDS } from '../catalog/price-book.ts';
import { BeamlineError } from '../core/errors.ts';
import type { SqlSession, SqlStore } from '../store/sql.ts';
import { inChunks } from './chunks.ts';

interface Archived {
  readonly provider_id: string;
  readonly model: string;
  readonly effective_from: number;
  readonly line: string;
}

const SELECT =
  'SELECT provider_id, model, effective_from, line FROM prices WHERE version = ? ORDER BY provider_id, model, effective_from';
const INSERT =
  'INSERT INTO prices (version, provider_id, model, effective_from, line) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING';

const archivedOf = (line: PriceLine): Archived => ({
  provider_id: line.provider,
  model: line.model,
  effective_from: line.effectiveFromMs ?? 0,
  line: JSON.stringify(Object.fromEntries(PRICE_KINDS.map((kind) => [kind, line.prices[kind]]))),
});

const textOf = (lines: readonly Archived[]): string =>
  lines
    .map(({ provider_id, model, effective_from, line }) => JSON.stringify([provider_id, model, effective_from, line]))
    .toSorted()
    .join('\n');

/** Throws `conflict` if the version says something else already. */
export async function assertUnchanged(
  session: SqlSession,
  version: string,
  lines: readonly PriceLine[],
): Promise<boolean> {
  const kept = await session.all<Archived>(SELECT, [version]);
  if (kept.length === 0) return false;
  if (textOf(kept) === textOf(lines.map(archivedOf))) return true;
  throw new BeamlineError('conflict', `the price version ${version} exists and never changes: give it another name`);
}

/** Keeps the lines under their version; safe to repeat. Throws `conflict` as above. */
export async function archivePrices(store: SqlStore, version: string, lines: readonly PriceLine[]): Promise<void> {
  await store.exclusive('beamline_prices', async (session) => {
    if (lines.length === 0 || (await assertUnchanged(session, version, lines))) return;
    await inChunks(lines.map(archivedOf), async (chunk) => {
      for (const { provider_id, model, effective_from, line } of chunk) {
        // eslint-disable-next-line no-await-in-loop -- on one connection
        await session.run(INSERT, [version, provider_id, model, effective_from, line]);
      }
    });
  });
}
