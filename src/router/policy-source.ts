// Where policies come from (policy 12.1): exactly one source, of which every router keeps a replica in memory.
// S1. A write is answered after the source confirmed it; an unreachable source gives `unavailable`.
// S2. Revisions of a policy grow and are never used again, deleted ones included.
// Names of a record are those of the wire.

/** One stored policy, or the tombstone of a deleted one. */
export interface PolicyRecord {
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly revision: number;
  /** The document as it was written; null in a tombstone. */
  readonly policy: unknown;
  /** SHA-256 of the document's JSON, hex. */
  readonly digest: string;
  readonly updated_at_ms: number;
  readonly updated_by: string;
  readonly deleted: boolean;
}

/** Hears what the source holds: first everything, then each change, and everything again after it was away. */
export interface PolicyListener {
  /** The source's full list; what it does not list is gone. */
  all(records: readonly PolicyRecord[]): void;
  changed(record: PolicyRecord): void;
  /** The source cannot be read; decisions go on with what is known. */
  unreachable(fault: unknown): void;
}

/** `expectedRevision` 0: must not exist; undefined: unconditional. A mismatch throws `precondition_failed`. */
export interface PolicyWrite {
  readonly tenantId: string;
  readonly policyId: string;
  readonly expectedRevision: number | undefined;
  readonly by: string;
}

export interface PolicySource extends AsyncDisposable {
  readonly kind: 'files' | 'kv' | 'heir';
  /** Resolves after the first attempt to read everything, whether it succeeded or not. */
  watch(listener: PolicyListener): Promise<void>;
  put(write: PolicyWrite, document: unknown): Promise<PolicyRecord>;
  /** Looks again at what it refused itself because of an extension; absent where the listener judges. */
  judgeAgain?(): void;
  /** Throws `not_found` for what is absent. */
  delete(write: PolicyWrite): Promise<PolicyRecord>;
  /** The newest 64 revisions, newest first; throws `not_found`. */
  history(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]>;
}
