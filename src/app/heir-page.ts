// Reads what the policy store sends (policy 12.2): records, pages of records, lists of findings.
// P1. All of a page is readable or none of it is: a throw means that nothing of it may be applied.
// P2. Members that we do not know pass and are dropped.
import type { PolicyRecord } from '../router/policy-source.ts';
import { unavailable } from './heir-answer.ts';

export interface HeirPage {
  readonly items: readonly unknown[];
  /** Of the last page it is undefined. */
  readonly nextCursor: string | undefined;
}

/** `limit` of a list is 1 to 200 (gateway 0). */
const ITEMS_MAX = 200;
const CURSOR_CHARS_MAX = 4096;
/** What a gateway of ours takes as names. */
const TENANT = /^[A-Za-z0-9_-]{1,128}$/;
const POLICY = /^[A-Za-z0-9_.-][A-Za-z0-9._:-]{0,127}$/;
/** As the segment of a path it is no name. */
const DOTS = /^\.{1,2}$/;
const FINDINGS_MAX = 100;
const FINDING_CHARS_MAX = 512;

type Members = Readonly<Record<string, unknown>>;

/** Whether the store can be asked for such a policy; what passes needs no escape in a path. */
export const isPolicyKey = (tenantId: string, policyId: string): boolean =>
  isRecordKey(tenantId, policyId) && !DOTS.test(policyId);

const isRecordKey = (tenantId: string, policyId: string): boolean => TENANT.test(tenantId) && POLICY.test(policyId);

/** Throws `unavailable` for anything but a complete page. */
export function readPage(body: unknown): HeirPage {
  const { data, pagination } = membersOf(body, 'page');
  if (!Array.isArray(data) || data.length > ITEMS_MAX) throw unreadable('data');
  const { has_more: hasMore, next_cursor: nextCursor } = membersOf(pagination, 'pagination');
  if (hasMore === false) return { items: data, nextCursor: undefined };
  const isCursor = typeof nextCursor === 'string' && nextCursor !== '' && nextCursor.length <= CURSOR_CHARS_MAX;
  if (hasMore !== true || !isCursor) throw unreadable('pagination');
  return { items: data, nextCursor };
}

/** Throws `unavailable` for anything but a record; its policy is not looked into. */
export function readRecord(value: unknown): PolicyRecord {
  const { tenant_id, policy_id, policy, digest, updated_by, deleted, ...rest } = membersOf(value, 'record');
  if (typeof tenant_id !== 'string' || typeof policy_id !== 'string' || !isRecordKey(tenant_id, policy_id)) {
    throw unreadable('key');
  }
  if (typeof deleted !== 'boolean') throw unreadable('deleted');
  if (deleted ? (policy ?? null) !== null : !isMembers(policy)) throw unreadable('policy');
  if (typeof digest !== 'string' || digest.length > 128) throw unreadable('digest');
  if (typeof updated_by !== 'string' || updated_by.length > 1024) throw unreadable('updated_by');
  const updated_at_ms = rest['updated_at_ms'];
  if (!isCount(updated_at_ms)) throw unreadable('updated_at_ms');
  const revision = readRevision(rest['revision']);
  return { tenant_id, policy_id, revision, policy: policy ?? null, digest, updated_at_ms, updated_by, deleted };
}

/** The `revision` of a policy: 1 or more. */
export function readRevision(value: unknown): number {
  if (!isCount(value) || value === 0) throw unreadable('revision');
  return value;
}

/** How far a page of the change feed goes: the `since` of a later look. */
export function readFeedRevision(body: unknown): number {
  const { revision } = membersOf(body, 'page');
  if (!isCount(revision)) throw unreadable('feed_revision');
  return revision;
}

/** The findings of a 422, wherever an answer carries them; an unreadable one has none. */
export function readFindings(body: unknown): readonly Members[] {
  const from = Array.isArray(body) ? body : listIn(body);
  return from
    .slice(0, FINDINGS_MAX)
    .filter(isMembers)
    .map((finding) => ({
      path: short(finding['path']),
      code: short(finding['code']),
      message: short(finding['message']),
    }));
}

function listIn(body: unknown): readonly unknown[] {
  if (!isMembers(body)) return [];
  for (const list of [
    body['errors'],
    inside(body['details'], 'fields'),
    inside(inside(body['error'], 'details'), 'fields'),
  ]) {
    if (Array.isArray(list)) return list;
  }
  return [];
}

const inside = (value: unknown, key: string): unknown => (isMembers(value) ? value[key] : undefined);
const short = (value: unknown): string => (typeof value === 'string' ? value.slice(0, FINDING_CHARS_MAX) : '');

const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function membersOf(value: unknown, what: string): Members {
  if (!isMembers(value)) throw unreadable(what);
  return value;
}

const unreadable = (what: string) => unavailable(`unreadable_${what}`);
