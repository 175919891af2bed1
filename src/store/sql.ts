// The port to SQL. Two implementations, SQLite in this process and PostgreSQL, pass one conformance suite.
// Q1. Statements are constants of the code with `?` for every value; no value ever stands in a text.
// Q2. One subset for both: TEXT, INTEGER, BIGINT, REAL; ON CONFLICT and RETURNING; rows, never database functions by name.
// Q3. Failures have codes: `unavailable` (the database is away, full, locked or too slow: the same work may succeed later),
//     `conflict` (a key exists, or a concurrent transaction won: begin again), `internal` (the statement or a value is wrong).

export type SqlValue = string | number | bigint | null;

/** Columns by name. Whole numbers come as `number` where that is exact and as `bigint` where it is not. */
export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlSession {
  /** Resolves with the number of rows that were changed. */
  run(statement: string, params?: readonly SqlValue[]): Promise<number>;
  all<Row extends object = SqlRow>(statement: string, params?: readonly SqlValue[]): Promise<readonly Row[]>;
}

export interface SqlStore extends SqlSession, AsyncDisposable {
  readonly dialect: 'sqlite' | 'postgres';
  /**
   * Commits what `work` did, or nothing of it when it throws. Work uses the session that it is given: the store itself would
   * wait for its end. A connection that is lost during the commit leaves open whether it happened: `unavailable`.
   */
  transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T>;
  /** A transaction that no other one of this name runs beside, in any process. */
  exclusive<T>(name: string, work: (session: SqlSession) => Promise<T>): Promise<T>;
}

/** `(?, ?), (?, ?)`: so many rows of so many values. */
export const rowsOf = (rows: number, values: number): string =>
  Array.from({ length: rows }, () => `(${Array.from({ length: values }, () => '?').join(', ')})`).join(', ');
