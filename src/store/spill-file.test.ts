import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SpillFile } from './spill-file.ts';

const SIZES = { bytesMax: 20, totalBytesMax: 50 };

function folder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'spill-'));
  context.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Everything that waits; `stopAt` is not taken. */
async function taken(file: SpillFile, stopAt?: string): Promise<string[]> {
  const lines: string[] = [];
  await file
    .drain(async (line) => {
      if (line === stopAt) throw new Error('away');
      lines.push(line);
    })
    .catch((fault: unknown) => assert.equal(String(fault), 'Error: away'));
  return lines;
}

test('lines are handed out in their order, once, over several files that nobody else reads', async (context) => {
  const dir = folder(context);
  const path = join(dir, 'dlq.jsonl');
  await using file = await SpillFile.open({ path, ...SIZES });
  await Promise.all(['line one', 'line two', 'line three', 'line four'].map((line) => file.append(line)));
  const files = readdirSync(dir).filter((name) => !name.includes('lock'));
  assert.deepEqual(files.toSorted(), ['dlq.jsonl', 'dlq.jsonl.1', 'dlq.jsonl.2']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(file.bytes, 9 + 9 + 11 + 10);
  assert.deepEqual(await taken(file), ['line one', 'line two', 'line three', 'line four']);
  assert.deepEqual([await taken(file), file.bytes], [[], 0]);
  await file.append('line five');
  assert.deepEqual(await taken(file), ['line five']);
});

test('what was not taken is handed out again, and what is full takes no more', async (context) => {
  const path = join(folder(context), 'dlq.jsonl');
  await using file = await SpillFile.open({ path, ...SIZES });
  for (const line of ['line one', 'line two', 'line three']) {
    // eslint-disable-next-line no-await-in-loop -- in this order
    await file.append(line);
  }
  assert.deepEqual(await taken(file, 'line three'), ['line one', 'line two']);
  await file.append('line four');
  await assert.rejects(file.append('x'.repeat(30)), { code: 'unavailable' });
  assert.deepEqual(await taken(file), ['line three', 'line four']);
  await file.append('x'.repeat(30));
});

test('another process goes on where the first one died, and not beside it', async (context) => {
  const path = join(folder(context), 'dlq.jsonl');
  const first = await SpillFile.open({ path, ...SIZES });
  await first.append('line one');
  await assert.rejects(SpillFile.open({ path, ...SIZES }), { code: 'unavailable' });
  await first[Symbol.asyncDispose]();
  appendFileSync(path, 'cut o');
  await using second = await SpillFile.open({ path, ...SIZES });
  await second.append('line two');
  assert.deepEqual(await taken(second), ['line one', 'cut o', 'line two']);
});

test('a path that is not to be used refuses the start', async (context) => {
  const dir = folder(context);
  const open = (path: string, more: object = {}) => SpillFile.open({ path, ...SIZES, ...more });
  await assert.rejects(open('dlq.jsonl'), { code: 'validation_failed' });
  await assert.rejects(open(join(dir, 'absent', 'dlq.jsonl')), { code: 'validation_failed' });
  await assert.rejects(open(join(dir, 'dlq.jsonl'), { totalBytesMax: 19 }), { code: 'validation_failed' });
  chmodSync(dir, 0o777);
  await assert.rejects(open(join(dir, 'dlq.jsonl')), { code: 'validation_failed' });
});
