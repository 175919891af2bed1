import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { readConfig } from '../config/read.ts';
import { slotClassOf } from '../contracts/slot-class.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Block } from '../worker/blocks/block.ts';
import { blockContext } from '../worker/blocks/block-fixture.ts';
import { type OpenedBlocks, openBlockList } from './blocks.ts';
import type { Ground } from './ground.ts';

const folder = mkdtempSync(join(tmpdir(), 'beamline-blocks-'));
after(() => rmSync(folder, { recursive: true }));

const groundOf = (yaml: string, timers: Timers): Ground => {
  const file = join(folder, 'beamline.yaml');
  writeFileSync(file, yaml);
  const { config } = readConfig({ env: {}, file });
  return { config, timers, telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() } };
};

const openIn = (ground: Ground): Promise<OpenedBlocks> => openBlockList(ground, openMemoryBus(ground));

const typesOf = ({ list }: OpenedBlocks): string => list.map(({ type }) => type).join(' ');

async function ran({ list }: OpenedBlocks, type: string, input: unknown): Promise<unknown> {
  const block: Block | undefined = list.find((one) => one.type === type);
  assert.ok(block, type);
  assert.ok(block.input.check(input), type);
  return (await block.execute(input, blockContext())).output;
}

test('without settings there are the blocks that need nothing, and test blocks only where they are wanted', async () => {
  using timers = new Timers(systemClock);
  await using plain = await openIn(groundOf('{}', timers));
  assert.equal(typesOf(plain), 'http.request human.approval transform');
  const ref = await plain.blobs.keep('acme', new TextEncoder().encode('{}'), 'a:1');
  assert.equal(String(await plain.blobs.read('acme', ref)), '{}');
  await using more = await openIn(groundOf(`data_dir: ${folder}\nblocks: { test: true }`, timers));
  assert.equal(typesOf(more), 'http.request human.approval transform fs.blob_put fs.blob_get test.echo test.sleep');
});

test('what the configuration opens is what blocks reach', async () => {
  using timers = new Timers(systemClock);
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers['x-token']?.toString());
    response.end('fine');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const host = `127.0.0.1:${address.port}`;
  const path = join(folder, 'facts.db');
  using database = new DatabaseSync(path);
  database.exec("CREATE TABLE facts (word TEXT); INSERT INTO facts VALUES ('seven')");
  writeFileSync(join(folder, 'token'), 's3cret\n');
  const yaml = `
worker:
  egress: { allow: ['${host}'] }
  blobs: { url: 'file:${join(folder, 'blobs')}' }
  secrets: { list: [{ name: t, secret: 'file:${join(folder, 'token')}', tenants: [acme], hosts: ['${host}'], header: x-token, scheme: '' }] }
  sql: { connections: [{ id: facts, url: 'sqlite:${path}', tenants: [acme], statements: { all: 'SELECT word FROM facts' } }] }
`;
  await using opened = await openIn(groundOf(yaml, timers));
  const request = { method: 'GET', url: `http://${host}/`, auth_ref: 'secret:t' };
  assert.equal(((await ran(opened, 'http.request', request)) as { body: string }).body, 'fine');
  assert.deepEqual(seen, ['s3cret']);
  const rows = await ran(opened, 'sql.query', { connection_id: 'facts', statement: 'all' });
  assert.deepEqual((rows as { rows: unknown }).rows, [['seven']]);
  await ran(opened, 'fs.blob_put', { key: 'a', content: 'b' });
  assert.equal(((await ran(opened, 'fs.blob_get', { key: 'a' })) as { content: string }).content, 'b');
  const ref = await opened.blobs.keep('acme', new TextEncoder().encode('an output'), 'a:1');
  const copy = (await ran(opened, 'fs.blob_put', { key: 'c', ref })) as { ref: string };
  assert.equal(String(await opened.blobs.read('acme', copy.ref)), 'an output', 'a payload may stand under a key');
  assert.deepEqual(await ran(opened, 'transform', { expression: 'data + 1', data: 1 }), { value: 2 });
  server.closeAllConnections();
  server.close();
});

const FAULTS: readonly (readonly [yaml: string, message: RegExp])[] = [
  ['worker: { egress: { allow: [ok.example, "10.0.0.0/33"] } }', /egress\.allow\[1\]/],
  [
    'worker: { sql: { connections: [{ id: x, url: "sqlite:/x", tenants: [a], statements: { s: "DROP TABLE t" } }] } }',
    /connection x, statement s: command/,
  ],
  [
    'worker: { sql: { connections: [{ id: x, url: "env:NOT_THERE", tenants: [a] }] } }',
    /worker\.sql\.connections x refers to env:NOT_THERE/,
  ],
  [
    'worker: { sql: { connections: [{ id: x, url: "postgres://u:hunter2@x/d", tenants: [a] }] } }',
    /worker\.sql\.connections\[0\]\.url/,
  ],
  [
    'worker: { secrets: { list: [{ name: t, secret: "env:NOT_THERE", tenants: [a], hosts: [h] }] } }',
    /worker\.secrets\.list t/,
  ],
  [
    'worker: { secrets: { list: [{ name: t, secret: "literal", tenants: [a], hosts: [h] }] } }',
    /literal secret is refused/,
  ],
];

for (const [yaml, message] of FAULTS) {
  test(`a start is refused with ${message.source}`, async () => {
    using timers = new Timers(systemClock);
    await assert.rejects(async () => openIn(groundOf(yaml, timers)), { code: 'validation_failed', message });
  });
}

test('routers know the class of each block by its type', async () => {
  using timers = new Timers(systemClock);
  await using opened = await openIn(groundOf('blocks: { test: true }', timers));
  for (const { type, class: slotClass } of opened.list) assert.equal(slotClassOf(type), slotClass, type);
  assert.ok(opened.list.some(({ class: slotClass }) => slotClass === 'cpu'));
});
