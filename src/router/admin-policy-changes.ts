// The change feed of policies, over all tenants (policy 12.2): everything, or what changed since a router stood elsewhere.
// D1. It is for who may read every tenant that the router knows, and holds nothing of tenants beside those.
// D2. A page says where the replica stood when its first page was made; what changes while pages are read comes after it.
// D3. A router that does not hear its source, or is behind the one that was asked before, says so instead of telling less.
import type { PolicyChangesPage } from '../contracts/admin-operations.ts';
import { MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import type { AdminPrincipal, Operations } from './admin-principal.ts';
import type { PolicyRef } from './policy-changes.ts';
import type { PolicyReplica } from './policy-replica.ts';
import type { PolicyRecord } from './policy-source.ts';

export type PolicyFeed = Pick<PolicyReplica, 'changes' | 'isLive' | 'tenants' | 'recordOf' | 'recordsOf'>;

const LIMIT = 50;
/** Of records; the largest document is smaller. */
const PAGE_BYTES = MESSAGE_BYTES_MAX / 2;
const BEHIND_MS = 100;

/** After which policy a page goes on, and where the replica stood at the first one. */
interface Cursor {
  readonly place: number;
  readonly after: PolicyRef;
}

export const policyChanges = (feed: PolicyFeed): Operations<'policy_changes'> => ({
  policy_changes({ since = 0, cursor, limit = LIMIT }, by): PolicyChangesPage {
    assertAllTenants(feed, by);
    if (!feed.isLive) throw new BeamlineError('unavailable', 'the source of the policies is out of reach');
    const from = cursor === undefined ? undefined : readCursor(cursor);
    if (from !== undefined) changedSince(feed, from.place);
    const records = since === 0 ? all(feed, by, from?.after) : changed(feed, by, since, from?.after);
    const place = from?.place ?? feed.changes.place;
    const { items, last } = pageOf(records, limit);
    return last === undefined
      ? { items, revision: place }
      : { items, revision: place, next_cursor: writeCursor({ place, after: last }) };
  },
});

/** The tenants of the configuration; a key that names policies is for these alone. */
function assertAllTenants({ tenants }: PolicyFeed, by: AdminPrincipal): void {
  if (by.policies === undefined && [...tenants].every((tenant) => by.tenants.includes(tenant))) return;
  throw new BeamlineError('forbidden', 'the changes of all tenants are for a key of all tenants');
}

function changedSince({ changes }: PolicyFeed, place: number): readonly PolicyRef[] {
  const refs = changes.since(place);
  if (refs === 'ahead') {
    throw new BeamlineError('unavailable', 'this router is behind that', { retryAfterMs: BEHIND_MS });
  }
  if (refs === 'too_old') throw new BeamlineError('gone', 'that is too long ago: read the full list');
  return refs;
}

function* all(feed: PolicyFeed, { tenants }: AdminPrincipal, after: PolicyRef | undefined): Generator<PolicyRecord> {
  for (const tenantId of tenants.toSorted()) {
    if (after !== undefined && tenantId < after.tenant_id) continue;
    yield* feed
      .recordsOf(tenantId)
      .filter((record) => isAfter(record, after))
      .toSorted(inOrder);
  }
}

function changed(
  feed: PolicyFeed,
  { tenants }: AdminPrincipal,
  since: number,
  after: PolicyRef | undefined,
): readonly PolicyRecord[] {
  const records = new Set(
    changedSince(feed, since)
      .filter(({ tenant_id }) => tenants.includes(tenant_id))
      .flatMap(({ tenant_id, policy_id }) => feed.recordOf(tenant_id, policy_id) ?? []),
  );
  return [...records].filter((record) => isAfter(record, after)).toSorted(inOrder);
}

/** `last` where there is more. */
function pageOf(records: Iterable<PolicyRecord>, limit: number): { items: PolicyRecord[]; last?: PolicyRecord } {
  const items: PolicyRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const last = items.at(-1);
    bytes += Buffer.byteLength(JSON.stringify(record));
    if (last !== undefined && (items.length >= limit || bytes > PAGE_BYTES)) return { items, last };
    items.push(record);
  }
  return { items };
}

const inOrder = (a: PolicyRef, b: PolicyRef): number =>
  a.tenant_id === b.tenant_id ? (a.policy_id < b.policy_id ? -1 : 1) : a.tenant_id < b.tenant_id ? -1 : 1;

const isAfter = (record: PolicyRef, after: PolicyRef | undefined): boolean =>
  after === undefined ||
  record.tenant_id > after.tenant_id ||
  (record.tenant_id === after.tenant_id && record.policy_id > after.policy_id);

const writeCursor = ({ place, after }: Cursor): string =>
  Buffer.from([place, after.tenant_id, after.policy_id].join(' ')).toString('base64url');

/** Ids have no spaces. */
function readCursor(cursor: string): Cursor {
  const [place = '', tenant_id, policy_id, ...rest] = Buffer.from(cursor, 'base64url').toString().split(' ');
  const isWhole = tenant_id !== undefined && policy_id !== undefined && rest.length === 0;
  if (!isWhole || !/^\d{1,16}$/.test(place)) {
    throw new BeamlineError('invalid_request', 'the cursor is not one that a page gave');
  }
  return { place: Number(place), after: { tenant_id, policy_id } };
}
