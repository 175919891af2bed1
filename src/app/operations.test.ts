import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { OPERATIONS_PORTS } from '../config/operations-schema.ts';
import { readConfig } from '../config/read.ts';
import type { Check, Checks } from '../core/health.ts';
import type { Role } from '../core/role.ts';
import { openGround } from './ground.ts';
import { type Operations, openOperations } from './operations.ts';

async function open(port: number | undefined, checks: () => Checks = () => ({})) {
  const lines: string[] = [];
  const flags = port === undefined ? {} : { 'worker.http.port': port };
  const { config } = readConfig({ env: {}, flags });
  const ground = openGround(config, { write: (line) => void lines.push(line) });
  ground.timers[Symbol.dispose]();
  const operations: Operations = await openOperations(ground, 'worker', checks);
  const told = lines.map((line) => JSON.parse(line) as { message: string; url: string });
  const url = told.find(({ message }) => message === 'operations_listening')?.url ?? '';
  return { operations, url, [Symbol.asyncDispose]: () => operations[Symbol.asyncDispose]() };
}

const role: Role = {
  name: 'worker',
  checks: () => ({ outbox: { status: 'ok' } }),
  state: () => ({ slots: 3 }),
  [Symbol.asyncDispose]: async () => undefined,
};

interface Page {
  readonly status: string;
  readonly checks: Readonly<Record<string, Check>>;
}

async function readyAt(url: string): Promise<readonly [http: number, page: Page]> {
  const response = await fetch(`${url}/readyz`);
  return [response.status, (await response.json()) as Page];
}

/** Takes a port; undefined if somebody else has it. */
async function taken(port: number): Promise<Server | undefined> {
  const server = createServer();
  const listening = once(server, 'listening').then(
    () => server,
    () => undefined,
  );
  server.listen(port, '127.0.0.1');
  return listening;
}

test('the pages show a start, a role that serves, and a drain', async () => {
  let storage: Check = { status: 'ok' };
  await using opened = await open(0, () => ({ storage }));
  const { operations, url } = opened;
  assert.deepEqual((await readyAt(url))[1].checks['accepting'], { status: 'fail', message: 'starting' });
  operations.serving(role);
  const [http, page] = await readyAt(url);
  assert.deepEqual([http, page.status], [200, 'ready']);
  assert.deepEqual(Object.keys(page.checks), ['accepting', 'storage', 'outbox']);
  storage = { status: 'fail', message: 'full' };
  assert.equal((await readyAt(url))[0], 503);
  storage = { status: 'ok' };
  operations.draining();
  const [drained, told] = await readyAt(url);
  assert.deepEqual([drained, told.checks['accepting']?.message], [503, 'draining']);
  const state = (await (await fetch(`${url}/state`)).json()) as { role: string; phase: string; slots: number };
  assert.deepEqual([state.role, state.phase, state.slots], ['worker', 'draining', 3]);
});

test('a configured port that is taken is told by its setting', async () => {
  const server = await taken(0);
  assert.ok(server);
  const { port } = server.address() as AddressInfo;
  await assert.rejects(open(port), {
    code: 'unavailable',
    message: new RegExp(`^worker\\.http\\.port: .*:${port} is taken`),
  });
  server.close();
});

test('the standard port gives way to a free one, so that a machine can run many', async () => {
  // Whoever else may have it on this machine does as well.
  const server = await taken(OPERATIONS_PORTS.worker);
  await using opened = await open(undefined);
  assert.notEqual(new URL(opened.url).port, String(OPERATIONS_PORTS.worker));
  assert.equal((await readyAt(opened.url))[0], 503);
  server?.close();
});
