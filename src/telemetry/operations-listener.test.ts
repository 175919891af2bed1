import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { type Checks, HEALTH_PATHS, mustHold } from '../core/health.ts';
import { openLog } from './log.ts';
import { Metrics } from './metrics.ts';
import { openOperationsListener } from './operations-listener.ts';

async function open() {
  const lines: string[] = [];
  const metrics = new Metrics();
  metrics.counter({ name: 'seen_total', help: 'Seen.' }).of().add(3);
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics };
  const checks = { now: (): Checks => ({ bus: mustHold(true, '') }) };
  const listener = await openOperationsListener({
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    telemetry,
    checks: () => checks.now(),
    state: () => ({ role: 'worker' }),
  });
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`${listener.url}${path}`, { method });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };
  return { ask, checks, lines, url: listener.url, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

test('the pages of health follow the checks, under every name', async () => {
  await using pages = await open();
  const statuses = async (paths: readonly string[]): Promise<ReadonlySet<number>> =>
    new Set(await Promise.all(paths.map(async (path) => (await pages.ask(path)).status)));
  const all = [...HEALTH_PATHS.live, ...HEALTH_PATHS.ready, ...HEALTH_PATHS.health];
  assert.deepEqual(await statuses(all), new Set([200]));
  pages.checks.now = () => ({ bus: mustHold(false, 'away') });
  assert.deepEqual(await statuses(HEALTH_PATHS.live), new Set([200]));
  assert.deepEqual(await statuses([...HEALTH_PATHS.ready, ...HEALTH_PATHS.health]), new Set([503]));
  const { text } = await pages.ask('/readyz?verbose');
  const { status, checks } = JSON.parse(text) as { status: string; checks: Checks };
  assert.deepEqual([status, checks], ['not_ready', { bus: { status: 'fail', message: 'away' } }]);
});

test('metrics and state are read, and a HEAD has no body', async () => {
  await using pages = await open();
  const metrics = await pages.ask('/metrics');
  assert.match(metrics.text, /^seen_total 3$/m);
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal((await pages.ask('/state')).text, '{"role":"worker"}');
  const head = await pages.ask('/metrics', 'HEAD');
  assert.deepEqual([head.status, head.text], [200, '']);
});

test('another path is 404, another method 405, and a page that fails 500: each with its code', async () => {
  await using pages = await open();
  const codeOf = ({ text }: { readonly text: string }): string => (JSON.parse(text) as Refused).error.code;
  const missing = await pages.ask('/metrics/all');
  assert.deepEqual([missing.status, codeOf(missing)], [404, 'not_found']);
  const posted = await pages.ask('/metrics', 'POST');
  assert.deepEqual([posted.status, codeOf(posted)], [405, 'method_not_allowed']);
  assert.equal(posted.headers.get('allow'), 'GET, HEAD');
  pages.checks.now = () => {
    throw new Error('a secret of the inside');
  };
  const failed = await pages.ask('/readyz');
  assert.deepEqual([failed.status, codeOf(failed)], [500, 'internal']);
  assert.ok(!failed.text.includes('secret'));
  assert.ok(pages.lines.some((line) => line.includes('operations_page_failed')));
});

test('a head that is too large is refused', async () => {
  await using pages = await open();
  const port = Number(new URL(pages.url).port);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET /livez HTTP/1.1\r\nhost: a\r\nx-long: ${'x'.repeat(10_000)}\r\n\r\n`),
    );
    socket.setEncoding('utf8').once('data', (text: string) => {
      socket.destroy();
      resolve(text);
    });
    socket.once('error', reject);
  });
  assert.match(answer, /^HTTP\/1\.1 431 /);
});

interface Refused {
  readonly error: { readonly code: string };
}
