import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStatement } from './sql-statement.ts';

const told = (text: string): string => {
  const found = readStatement(text);
  return found.kind === 'refused' ? found.reason : `${found.mode} ${found.parameters}`;
};

const STATEMENTS: readonly (readonly [text: string, outcome: string])[] = [
  ['SELECT * FROM orders WHERE id = ?', 'read 1'],
  ['select 1;', 'read 0'],
  ['SELECT 1 ; -- done', 'read 0'],
  ["SELECT 'it''s; DROP TABLE x' FROM t", 'read 0'],
  ['SELECT "drop" FROM "select" WHERE "a;b" = ?', 'read 1'],
  ['WITH a AS (SELECT 1) SELECT * FROM a', 'read 0'],
  ['VALUES (?, ?)', 'read 2'],
  ["SELECT replace(name, 'a', 'b') FROM t", 'read 0'],
  ['INSERT INTO t (a) VALUES (?)', 'write 1'],
  ['INSERT OR IGNORE INTO t (a) VALUES (?)', 'write 1'],
  ['REPLACE INTO t (a) VALUES (?)', 'write 1'],
  ['UPDATE t SET a = ? WHERE b = ? RETURNING a', 'write 2'],
  ['DELETE FROM t', 'write 0'],
  ['WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone', 'write 0'],
  ['SELECT * FROM t FOR UPDATE', 'write 0'],
  ['SELECT 1; SELECT 2', 'many'],
  ['SELECT 1;;', 'many'],
  ['; SELECT 1', 'many'],
  ['', 'command'],
  ['-- nothing', 'command'],
  ["ATTACH DATABASE '/tmp/x' AS x", 'command'],
  ['/* x */ PRAGMA writable_schema = 1', 'command'],
  ["COPY t TO PROGRAM 'id'", 'command'],
  ['"select" 1', 'command'],
  ['CREATE TABLE t (a)', 'command'],
  ['EXPLAIN SELECT 1', 'command'],
  ['SELECT * INTO copied FROM t', 'word'],
  ['SELECT attach FROM t', 'word'],
  ['WITH a AS (SELECT 1) DROP TABLE t', 'word'],
  ['SELECT * FROM pragma_table_info(?)', 'word'],
  ['SELECT * FROM "pragma_database_list"', 'word'],
  ['SELECT * FROM sqlite_master', 'word'],
  ['SELECT * FROM beamline_writes', 'word'],
  ["SELECT pg_read_file('/etc/passwd')", 'word'],
  ['SELECT "pg_sleep"(10)', 'word'],
  ["SELECT lo_import('/etc/passwd')", 'word'],
  ["SELECT load_extension('x')", 'function'],
  ["SELECT Load_Extension /* x */ ('x')", 'function'],
  ['SELECT "readfile" (?)', 'function'],
  ['SELECT zeroblob(1000000000)', 'function'],
  ["SELECT format('%1000000000d', 1)", 'function'],
  ['SELECT 1 /* a /* b */ ; DROP TABLE t -- */', 'unreadable'],
  ['SELECT 1 /* open', 'unreadable'],
  ["SELECT 'open", 'unreadable'],
  ["SELECT 'a\\' ; DROP TABLE t --'", 'unreadable'],
  ["SELECT E'a'", 'unreadable'],
  ["SELECT U&'a'", 'unreadable'],
  [String.raw`SELECT U&"\0070g_sleep"(1)`, 'unreadable'],
  ['SELECT $$ ; DROP TABLE t $$', 'unreadable'],
  ['SELECT $1', 'unreadable'],
  ['SELECT :name', 'unreadable'],
  ['SELECT @name', 'unreadable'],
  ['SELECT ?1', 'unreadable'],
  ['SELECT `a`', 'unreadable'],
  ['SELECT [a]', 'unreadable'],
  ['SELECT 1\0', 'unreadable'],
  ['SELECT #1', 'unreadable'],
  [`SELECT ${'1+'.repeat(8_200)}1`, 'too_long'],
];

for (const [text, outcome] of STATEMENTS) {
  test(`${JSON.stringify(text.slice(0, 60))} is ${outcome}`, () => {
    assert.equal(told(text), outcome);
  });
}
