// How one record of a policy follows another, the same in every source: expected revision, next revision, tombstone.
import { createHash } from 'node:crypto';
import { BeamlineError } from '../core/errors.ts';
import type { PolicyRecord, PolicyWrite } from './policy-source.ts';

/** Revisions that are kept of one policy, the current one included (policy 12.1). */
export const HISTORY_MAX = 64;

/** SHA-256 of the document's JSON, hex. */
export const digestOf = (document: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(document) ?? '')
    .digest('hex');

/** The record that a write makes of what is held. Throws `precondition_failed` for another revision than expected. */
export function recordAfter(
  held: PolicyRecord | undefined,
  write: PolicyWrite,
  document: unknown,
  epochMs: number,
): PolicyRecord {
  assertExpected(held, write);
  return next(held, write, document, epochMs);
}

/** The tombstone that follows what is held. Throws `not_found` where nothing is, `precondition_failed` as above. */
export function tombstoneAfter(held: PolicyRecord | undefined, write: PolicyWrite, epochMs: number): PolicyRecord {
  if (held?.deleted !== false) throw noSuchPolicy();
  assertExpected(held, write);
  return { ...next(held, write, null, epochMs), deleted: true };
}

export const noSuchPolicy = (): BeamlineError => new BeamlineError('not_found', 'the store has no such policy');

/** A record as it was read; undefined for what is none. The document is not looked at. */
export function readRecord(value: unknown): PolicyRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Readonly<Record<keyof PolicyRecord, unknown>>;
  const texts = [record.tenant_id, record.policy_id, record.digest, record.updated_by];
  const isRecord =
    texts.every((text) => typeof text === 'string') &&
    [record.revision, record.updated_at_ms].every((count) => Number.isSafeInteger(count) && Number(count) >= 0) &&
    typeof record.deleted === 'boolean';
  return isRecord ? (value as PolicyRecord) : undefined;
}

function next(held: PolicyRecord | undefined, write: PolicyWrite, document: unknown, epochMs: number): PolicyRecord {
  return {
    tenant_id: write.tenantId,
    policy_id: write.policyId,
    revision: (held?.revision ?? 0) + 1,
    policy: document,
    digest: digestOf(document),
    updated_at_ms: epochMs,
    updated_by: write.by,
    deleted: false,
  };
}

/** A deleted policy is one that does not exist: it matches 0, and its own revision no more. */
function assertExpected(held: PolicyRecord | undefined, { expectedRevision }: PolicyWrite): void {
  const revision = held?.deleted === false ? held.revision : 0;
  if (expectedRevision === undefined || expectedRevision === revision) return;
  throw new BeamlineError('precondition_failed', 'the policy has another revision', { details: { revision } });
}
