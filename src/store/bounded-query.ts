// The port to databases of others: one statement with values, held to limits in rows, bytes and time. What it may say was
// judged before it comes here.

export type QueryParam = string | number | boolean | null;

export interface BoundedQuery {
  readonly mode: 'read' | 'write';
  /** `$1`, `$2` or `?` for its values, as the database has it. */
  readonly statement: string;
  readonly params: readonly QueryParam[];
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Of a write: who repeats it, and what it was; both digests. */
  readonly record: WriteRecord | undefined;
}

export interface WriteRecord {
  readonly key: string;
  readonly digest: string;
  readonly nowMs: number;
}

export interface QueryRows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly affected: number;
  readonly isTruncated: boolean;
}

export type QueryAnswer =
  | { readonly kind: 'rows'; readonly rows: QueryRows }
  | {
      readonly kind: 'failed';
      readonly reason: 'denied' | 'busy' | 'away' | 'constraint' | 'statement' | 'timeout' | 'too_large' | 'repeated';
    };

export interface BoundedQueries extends AsyncDisposable {
  /** Throws the signal's reason when it is aborted. */
  ask(query: BoundedQuery, signal: AbortSignal): Promise<QueryAnswer>;
}

/** A record of a write is kept longer than any job is repeated. */
export const RECORD_MS = 10 * 86_400_000;
