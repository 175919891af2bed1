// The block `sql.query`: one statement that an operator wrote, on a connection that an operator opened to the tenant, with
// values of the caller as parameters (worker 11, 12).
import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import { payload } from '../../contracts/contract.ts';
import type { ExecutionCode } from '../../core/execution-errors.ts';
import type { BoundedQueries, BoundedQuery, QueryAnswer, QueryParam, QueryRows } from '../../store/bounded-query.ts';
import { type Block, type BlockContext, BlockFailure } from './block.ts';
import { type RunEnd, RunEnded } from './runners.ts';
import { readStatement } from './sql-statement.ts';
import { withNumbers } from './sql-tokens.ts';

export interface SqlConnection {
  readonly id: string;
  readonly database: Pick<BoundedQueries, 'ask'>;
  readonly dialect: 'sqlite' | 'postgres';
  readonly tenants: readonly string[];
  readonly write: boolean;
  /** Whether `statement` may be the text of one. */
  readonly allowText: boolean;
  /** By the names that callers use. */
  readonly statements: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

const Scalar = Type.Union([Type.String({ maxLength: 1_048_576 }), Type.Number(), Type.Boolean(), Type.Null()]);
const Input = Type.Object({
  connection_id: Type.String({ minLength: 1, maxLength: 128 }),
  statement: Type.String({ minLength: 1, maxLength: 16_384 }),
  params: Type.Optional(Type.Array(Scalar, { maxItems: 256 })),
  mode: Type.Optional(Type.Enum(['read', 'write'])),
});
type Input = Type.Static<typeof Input>;

const Output = Type.Object({
  columns: Type.Array(Type.String()),
  // Integers that JSON cannot hold are texts, bytes are base64.
  rows: Type.Array(Type.Array(Type.Unknown())),
  row_count: Type.Integer(),
  affected_rows: Type.Integer(),
  truncated: Type.Boolean(),
});
type Output = Type.Static<typeof Output>;

const ROWS_MAX = 1_000;
const BYTES_MAX = 1_048_576;
const WRITE_SCOPE = 'sql:write';

type Failed = Extract<QueryAnswer, { kind: 'failed' }>['reason'];
const FAILURES: Readonly<Record<Failed, readonly [ExecutionCode, string]>> = {
  denied: ['SANDBOX_VIOLATION', 'the statement may not do that'],
  busy: ['RESOURCE_UNAVAILABLE', 'the database is busy'],
  away: ['RESOURCE_UNAVAILABLE', 'the database is away'],
  constraint: ['EXECUTION_FAILED', 'the database refused the values'],
  statement: ['EXECUTION_FAILED', 'the statement failed'],
  timeout: ['CONNECTION_TIMEOUT', 'the statement took too long'],
  too_large: ['OUTPUT_TOO_LARGE', 'a row has more than 1 MiB'],
  repeated: ['INVALID_INPUT', 'the idempotency key belongs to another write'],
};

const ENDS: Readonly<Record<RunEnd, readonly [ExecutionCode, string]>> = {
  busy: ['SYSTEM_OVERLOAD', 'too many statements wait'],
  cpu: ['INTERNAL_ERROR', 'the statement was ended'],
  memory: ['EXECUTION_FAILED', 'the statement took too much memory'],
  crash: ['RESOURCE_UNAVAILABLE', 'the process of the statement ended'],
};

/** Throws `RangeError` for a connection whose statements are not such that they may run. */
export function sqlQuery(connections: readonly SqlConnection[]): Block<Input, Output> {
  for (const connection of connections) checkStatements(connection);
  return {
    type: 'sql.query',
    version: '1',
    class: 'io',
    scopes: ['sql:read'],
    effect: ({ mode }) => (mode === 'write' ? 'idempotent' : 'none'),
    input: payload('beamline.block.sql_query.Input', '1', Input),
    output: payload('beamline.block.sql_query.Output', '1', Output),
    async execute(input, context) {
      const connection = connections.find(
        ({ id, tenants }) => id === input.connection_id && tenants.includes(context.tenantId),
      );
      if (connection === undefined) throw refused('PERMISSION_DENIED', 'connection_not_allowed');
      return { output: outputOf(await ask(connection, queryOf(connection, input, context), context)) };
    },
  };
}

function checkStatements({ id, write, statements }: SqlConnection): void {
  for (const [name, text] of Object.entries(statements)) {
    const read = readStatement(text);
    const fault = read.kind === 'refused' ? read.reason : read.mode === 'write' && !write ? 'write' : undefined;
    if (fault !== undefined) throw new RangeError(`sql connection ${id}, statement ${name}: ${fault}`);
  }
}

function queryOf(connection: SqlConnection, input: Input, context: BlockContext): BoundedQuery {
  const { params = [], mode = 'read' } = input;
  const statement = textOf(connection, input.statement);
  const read = readStatement(statement);
  if (read.kind === 'refused') throw refused('SANDBOX_VIOLATION', read.reason);
  if (read.mode === 'write' && mode === 'read') throw refused('SANDBOX_VIOLATION', 'write');
  if (mode === 'write' && !(connection.write && context.scopes.includes(WRITE_SCOPE))) {
    throw refused('PERMISSION_DENIED', 'write');
  }
  if (read.parameters !== params.length) throw refused('INVALID_INPUT', 'params');
  return {
    mode,
    statement: connection.dialect === 'postgres' ? withNumbers(statement) : statement,
    params,
    rowsMax: ROWS_MAX,
    bytesMax: BYTES_MAX,
    record: mode === 'write' ? recordOf(statement, params, context) : undefined,
  };
}

function textOf({ statements, allowText }: SqlConnection, statement: string): string {
  const named = Object.hasOwn(statements, statement) ? statements[statement] : undefined;
  if (named !== undefined) return named;
  if (allowText) return statement;
  throw refused('INVALID_INPUT', 'statement_unknown');
}

function recordOf(
  statement: string,
  params: readonly QueryParam[],
  { tenantId, idempotencyKey, timers }: BlockContext,
): BoundedQuery['record'] {
  return {
    key: digestOf([tenantId, idempotencyKey]),
    // As SQLite has them, so that records stay true.
    digest: digestOf([statement, ...params.map((value) => (typeof value === 'boolean' ? Number(value) : value))]),
    nowMs: timers.clock.epochMs(),
  };
}

const digestOf = (parts: readonly QueryParam[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex');

async function ask(
  { database, timeoutMs }: SqlConnection,
  query: BoundedQuery,
  { signal, timers }: BlockContext,
): Promise<QueryRows> {
  const late = new AbortController();
  const timer = timers.after(timeoutMs, () => late.abort(refused('CONNECTION_TIMEOUT', 'statement')));
  try {
    const answer = await database.ask(query, AbortSignal.any([signal, late.signal]));
    if (answer.kind === 'rows') return answer.rows;
    throw new BlockFailure(...FAILURES[answer.reason], {
      detailCode: answer.reason === 'timeout' ? 'statement' : answer.reason,
    });
  } catch (fault) {
    throw fault instanceof RunEnded ? new BlockFailure(...ENDS[fault.end], { detailCode: fault.end }) : fault;
  } finally {
    timer.cancel();
  }
}

const outputOf = ({ columns, rows, affected, isTruncated }: QueryRows): Output => ({
  columns: [...columns],
  rows: rows.map((row) => [...row]),
  row_count: rows.length,
  affected_rows: affected,
  truncated: isTruncated,
});

const TEXTS: Readonly<Record<string, string>> = {
  connection_not_allowed: 'there is no such connection for this tenant',
  params: 'the statement has another number of parameters',
  statement: 'the statement took too long',
  statement_unknown: 'the connection has no such statement',
  write: 'the statement may not write',
};

const refused = (code: ExecutionCode, detailCode: string): BlockFailure =>
  new BlockFailure(code, TEXTS[detailCode] ?? 'the statement is not one that may run', { detailCode });
