// What a statement may be (worker 11, 12): one, that reads or writes rows, and reaches nothing beyond its tables. The
// database is told the same once more; this is the part that says it before anything is opened.
import { type SqlToken, sqlTokens } from './sql-tokens.ts';

export type SqlMode = 'read' | 'write';

export type SqlStatement =
  | { readonly kind: 'statement'; readonly mode: SqlMode; readonly parameters: number }
  | { readonly kind: 'refused'; readonly reason: 'unreadable' | 'many' | 'command' | 'word' | 'function' | 'too_long' };

const CHARS_MAX = 16_384;
const READS: ReadonlySet<string> = new Set(['select', 'with', 'values']);
const WRITES: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'replace', 'merge']);
/** Words that do something to the database, its files or its session wherever they stand. */
const REFUSED: ReadonlySet<string> = new Set(
  (
    'attach detach pragma vacuum copy load call do reset grant revoke create alter drop truncate listen notify ' +
    'unlisten execute prepare deallocate begin commit rollback savepoint lock cluster reindex analyze explain into'
  ).split(' '),
);
/** Of these the second word may be refused without being a command: `INSERT INTO` and `FOR UPDATE`. */
const INTO_AFTER: ReadonlySet<string> = new Set(['insert', 'replace', 'merge', 'ignore', 'abort', 'fail']);
/** Names of the database's own, and of ours. */
const INNER = /^(?:pragma_|sqlite_|beamline_|pg_|lo_|dblink|information_schema$)/;
const FUNCTIONS: ReadonlySet<string> = new Set(
  (
    'load_extension readfile writefile edit fts3_tokenizer zeroblob randomblob printf format set_config ' +
    'current_setting nextval setval query_to_xml table_to_xml schema_to_xml database_to_xml cursor_to_xml ' +
    'query_to_xmlschema query_to_xml_and_xmlschema ts_stat ts_rewrite crosstab connectby'
  ).split(' '),
);

const refused = (reason: Extract<SqlStatement, { kind: 'refused' }>['reason']): SqlStatement => ({
  kind: 'refused',
  reason,
});

export function readStatement(text: string): SqlStatement {
  if (text.length > CHARS_MAX) return refused('too_long');
  const tokens = sqlTokens(text);
  if (tokens === undefined) return refused('unreadable');
  const end = tokens.findIndex(({ kind }) => kind === 'end');
  const body = end === -1 ? tokens : tokens.slice(0, end);
  if (end !== -1 && end !== tokens.length - 1) return refused('many');
  const first = bareWord(body[0]);
  if (first === undefined || (!READS.has(first) && !WRITES.has(first))) return refused('command');
  const fault = faultIn(body);
  if (fault !== undefined) return refused(fault);
  const isWrite = body.some((token, at) => WRITES.has(bareWord(token) ?? '') && !isCall(body, at));
  const parameters = body.filter(({ kind }) => kind === 'parameter').length;
  return { kind: 'statement', mode: isWrite ? 'write' : 'read', parameters };
}

function faultIn(tokens: readonly SqlToken[]): 'word' | 'function' | undefined {
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== 'word') continue;
    if (INNER.test(token.text)) return 'word';
    if (FUNCTIONS.has(token.text) && isCall(tokens, at)) return 'function';
    const isInto = token.text === 'into' && INTO_AFTER.has(bareWord(tokens[at - 1]) ?? '');
    if (!token.isQuoted && REFUSED.has(token.text) && !isInto) return 'word';
  }
  return undefined;
}

/** Whether a bracket follows: `replace(` is a function, `REPLACE INTO` a command. */
function isCall(tokens: readonly SqlToken[], at: number): boolean {
  const after = tokens[at + 1];
  return after?.kind === 'sign' && after.text === '(';
}

const bareWord = (token: SqlToken | undefined): string | undefined =>
  token?.kind === 'word' && !token.isQuoted ? token.text : undefined;
