// The pages of roles apart, of real processes on a real nats-server: ready, not ready while the server stands still, ready
// again, and not ready but there while they drain. And the exit code of one process that had to cut work short.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { begin } from '../events.ts';
import { startBeamline, type TestProcess } from '../process.ts';
import { startStack } from '../stack.ts';
import { until } from '../until.ts';

async function pagesOf(role: TestProcess): Promise<string> {
  const [, url = ''] = await role.until(/"url":"(http[^"]+)"[^\n]*"operations_listening"/);
  return url;
}

interface Ready {
  readonly http: number;
  readonly checks: Readonly<Record<string, { readonly status: string; readonly message?: string }>>;
}

async function readyAt(url: string): Promise<Ready> {
  const response = await fetch(`${url}/readyz`);
  const { checks } = (await response.json()) as Ready;
  return { http: response.status, checks };
}

const metricsAt = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text();

test('every role apart is ready, says so when the broker stands still, and is ready again', async () => {
  await using stack = await startStack('nats');
  assert.ok(stack.nats);
  await using opening = new AsyncDisposableStack();
  const ledger = startBeamline(['ledger', '--nats', stack.nats.url, '--port', '0']);
  opening.defer(() => ledger.stop());
  await ledger.until(/ledger_ready/);
  const alone = await Promise.all([...stack.routers, ...stack.workers, ledger].map(pagesOf));
  const urls = [...alone, stack.url];
  const allAre = (http: number) => async (): Promise<boolean> =>
    (await Promise.all(urls.map(readyAt))).every((page) => page.http === http);
  await until('all to be ready', allAre(200));

  assert.equal((await stack.chat({ model: 'alder/test-chat', stream: true })).status, 200);
  const pages = await until('the metrics', async () => {
    const [router = '', worker = '', counted = ''] = await Promise.all(alone.map(metricsAt));
    return counted.includes('ledger_fold_total{result="folded"} 1') ? { router, worker, counted } : undefined;
  });
  assert.match(pages.router, /^router_decisions_total\{.*\} 1$/m);
  assert.match(
    pages.worker,
    /^worker_provider_seconds_count\{provider="alder",model="test-chat",status="succeeded"\} 1$/m,
  );
  assert.match(pages.worker, /^worker_tokens_total\{provider="alder",model="test-chat",kind="output"\} [1-9]/m);
  const state = (await (await fetch(`${alone[1]}/state`)).json()) as { role: string; slots: { io: { limit: number } } };
  assert.deepEqual([state.role, state.slots.io.limit], ['worker', 256]);
  const shown = `${pages.router}${pages.worker}${pages.counted}${JSON.stringify(state)}`;
  for (const secret of [stack.key, stack.providerKey, stack.pepper]) assert.ok(!shown.includes(secret));

  stack.nats.freeze();
  await until('all to see it', allAre(503));
  for (const url of urls) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    const { checks } = await readyAt(url);
    assert.equal(checks['storage']?.status, 'fail', url);
    // Long before the connection is given up, which takes twice as long: it is the canary that told.
    assert.equal(checks['bus']?.status, 'ok', url);
  }
  stack.nats.thaw();
  await until('all to be ready again', allAre(200));
});

test('a worker that drains is not ready and still shows its pages, until what runs has ended', async () => {
  await using stack = await startStack('nats', { workers: 1 });
  const [worker] = stack.workers;
  assert.ok(worker);
  const url = await pagesOf(worker);
  const stream = await begin(await stack.chat({ model: 'alder/test-slow', stream: true }));
  const stopped = worker.stop();
  const { http, checks } = await until('the drain', async () => {
    const page = await readyAt(url);
    return page.http === 503 ? page : undefined;
  });
  assert.deepEqual([http, checks['accepting']?.message], [503, 'draining']);
  assert.equal((await fetch(`${url}/livez`)).status, 200);
  assert.match(await metricsAt(url), /^worker_slots_active\{class="io",mode="call"\} 1$/m);
  assert.equal(await stream.rest(), 'done');
  await stopped;
  await assert.rejects(fetch(`${url}/livez`), 'nobody listens any more');
});

test('a port that is taken ends the start with its setting', async () => {
  await using stack = await startStack('nats', { workers: 1 });
  const [worker] = stack.workers;
  assert.ok(worker);
  const { port } = new URL(await pagesOf(worker));
  const second = startBeamline(['worker', '--nats', stack.nats?.url ?? '', '--port', port]);
  await second.ended;
  assert.match(second.output(), new RegExp(`worker\\.http\\.port: 127\\.0\\.0\\.1:${port} is taken`));
  await assert.rejects(second.stop(), { actual: 69 });
});

test('all roles in one process are one readiness, and cut work is exit 75', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-test-'));
  await using opening = new AsyncDisposableStack();
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'beamline.yaml');
  writeFileSync(config, JSON.stringify({ worker: { shutdown: { timeout_ms: 1_000 } }, blocks: { test: true } }));
  const up = startBeamline(['up', '--port', '0', '--config', config]);
  opening.defer(() => up.kill());
  const [url] = await up.until(/http:\/\/127\.0\.0\.1:\d+/);
  const [key] = await up.until(/blk_live_\w+/);
  const { http, checks } = await readyAt(url);
  const words = Object.entries(checks).map(([name, { status }]) => `${name} ${status}`);
  assert.deepEqual(
    [http, ...words],
    [200, 'bus ok', 'accepting ok', 'backpressure ok', 'router ok', 'worker ok', 'ledger ok'],
  );
  const response = await fetch(`${url}/api/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ task: { type: 'test.sleep', payload: { sleep_ms: 60_000 } } }),
  });
  assert.equal(response.status, 202, await response.text());
  await until('the job to run', async () =>
    /^worker_slots_active\{class="io",mode="job"\} 1$/m.test(await metricsAt(url)),
  );
  await assert.rejects(up.stop(), { actual: 75 });
  assert.match(up.output(), /work_abandoned/);
});
