// The newest revisions of a policy: a store may list whole records or only name them, so missing ones are fetched.
import { HISTORY_MAX } from '../router/policy-record.ts';
import type { PolicyRecord } from '../router/policy-source.ts';
import { type HeirAnswer, unavailable } from './heir-answer.ts';
import type { HeirRequest } from './heir-client.ts';
import { readPage, readRecord, readRevision } from './heir-page.ts';

type Get = (request: HeirRequest) => Promise<HeirAnswer>;

/** Newest first. `get` gives 200 answers and throws for all others. */
export async function readHistory(get: Get, policyPath: string): Promise<readonly PolicyRecord[]> {
  const path = `${policyPath}/versions`;
  const listed = new Map<number, unknown>();
  let cursor: string | undefined;
  for (let pages = 0; listed.size < HISTORY_MAX && (pages === 0 || cursor !== undefined); pages++) {
    if (pages >= HISTORY_MAX) throw unavailable('list_too_long');
    const query = new URLSearchParams({ limit: String(HISTORY_MAX) });
    if (cursor !== undefined) query.set('cursor', cursor);
    // eslint-disable-next-line no-await-in-loop -- each page names the next one
    const page = readPage((await get({ method: 'GET', path, query: query.toString() })).body);
    for (const item of page.items) listed.set(readRevision((item as { revision?: unknown } | null)?.revision), item);
    cursor = page.nextCursor;
  }
  const newest = [...listed].toSorted(([a], [b]) => b - a).slice(0, HISTORY_MAX);
  return Promise.all(
    newest.map(async ([revision, item]) => {
      if (typeof item === 'object' && item !== null && 'policy' in item) return readRecord(item);
      return readRecord((await get({ method: 'GET', path: `${path}/${revision}` })).body);
    }),
  );
}
