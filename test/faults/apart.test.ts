// Roles apart on a real nats-server, and real kills: what ran into the fault ends with one answer, the rest succeeds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, endingOf } from '../events.ts';
import { type Stack, startStack } from '../stack.ts';
import { until } from '../until.ts';

const TWO_EACH = { routers: 2, workers: 2 } as const;

interface Ended {
  readonly status: number;
  readonly retryAfter: string | null;
  /** Of a stream: `done` or a code; of a whole answer: `whole` or a code. */
  readonly ending: string;
}

async function ask(stack: Stack, body: { readonly model: string; readonly stream?: boolean }): Promise<Ended> {
  const response = await stack.chat(body);
  const text = await response.text();
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const whole = (): string => (JSON.parse(text) as { error?: { code: string } }).error?.code ?? 'whole';
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    ending: isStream ? endingOf(text) : whole(),
  };
}

const many = (stack: Stack, count: number, body: { readonly model: string; readonly stream?: boolean }) =>
  Array.from({ length: count }, () => ask(stack, body));

/** Requests one after the other until told to stop; resolves with how each ended. */
function startLoop(stack: Stack, model: string): { readonly ended: Ended[]; stop(): Promise<readonly Ended[]> } {
  const ended: Ended[] = [];
  let isOver = false;
  const loop = (async () => {
    // eslint-disable-next-line no-await-in-loop -- one after the other is the point
    while (!isOver) ended.push(await ask(stack, { model, stream: ended.length % 2 === 0 }));
  })();
  return {
    ended,
    async stop() {
      isOver = true;
      await loop;
      return ended;
    },
  };
}

/** Sixteen requests that wait for their answers, half of them streams of `streamed`, and a loop of quick ones beside them. */
async function underLoad(stack: Stack, streamed: string) {
  const loop = startLoop(stack, 'test-chat');
  const held = [
    ...many(stack, 8, { model: 'alder/test-slow-start' }),
    ...many(stack, 8, { model: streamed, stream: true }),
  ];
  await until('all to be asked', () => stack.upstream.running >= 16 && loop.ended.length > 5);
  return { held, loop };
}

const failures = (ended: readonly Ended[]): readonly Ended[] =>
  ended.filter(({ status, ending }) => status !== 200 || !['done', 'whole'].includes(ending));

test('a worker that is killed ends the streams that it had begun with one error event; everything else succeeds', async () => {
  await using stack = await startStack('nats', TWO_EACH);
  const slow = { model: 'alder/test-slow', stream: true };
  const streams = await Promise.all(Array.from({ length: 16 }, async () => begin(await stack.chat(slow))));
  assert.equal(stack.upstream.running, 16);
  await stack.workers[0]?.kill();
  const others = await Promise.all(many(stack, 8, { model: 'test-chat' }));
  assert.deepEqual(failures(others), []);
  const endings = await Promise.all(streams.map((stream) => stream.rest()));
  // The upstream knows which streams the killed worker had.
  const lost = stack.upstream.cut;
  assert.ok(lost > 0);
  assert.deepEqual(
    endings.toSorted(),
    [...Array<string>(16 - lost).fill('done'), ...Array<string>(lost).fill('worker_lost')].toSorted(),
  );
});

test('a worker that is killed costs no request that had not begun to answer', async () => {
  await using stack = await startStack('nats', TWO_EACH);
  const { held, loop } = await underLoad(stack, 'alder/test-slow-start');
  await stack.workers[0]?.kill();
  assert.deepEqual(failures(await Promise.all(held)), []);
  // A stream of the loop may have begun on that worker at that moment; a status of 200 tells so.
  const lost = failures(await loop.stop());
  assert.ok(lost.length <= 1);
  assert.deepEqual(
    lost.filter(({ status, ending }) => status !== 200 || ending !== 'worker_lost'),
    [],
  );
});

test('a router and a worker that are told to stop finish what they had begun and exit 0, and no request fails', async () => {
  await using stack = await startStack('nats', TWO_EACH);
  const { held, loop } = await underLoad(stack, 'alder/test-slow');
  await Promise.all([stack.workers[0]?.stop(), stack.routers[0]?.stop()]);
  assert.deepEqual(failures(await Promise.all(held)), []);
  assert.deepEqual(failures(await loop.stop()), []);
});

test('a nats-server that is killed is told by /readyz and by 503; when it is back, so is everything', async () => {
  await using stack = await startStack('nats');
  const readiness = async (): Promise<number> => {
    const response = await fetch(`${stack.url}/readyz`);
    await response.text();
    return response.status;
  };
  assert.equal(await readiness(), 200);
  const running = [...many(stack, 4, { model: 'test-slow', stream: true }), ...many(stack, 4, { model: 'test-slow' })];
  await until('all to be asked', () => stack.upstream.running === 8);

  await stack.nats?.kill();
  await until('the gateway to notice', async () => (await readiness()) === 503);
  const refused = await Promise.all(many(stack, 4, { model: 'test-chat' }));
  for (const { status, ending, retryAfter } of refused) {
    assert.deepEqual([status, ending], [503, 'unavailable']);
    assert.match(retryAfter ?? '', /^\d+$/);
  }
  // Each of what was running is answered, whatever the answer, while the server is still away.
  const ended = await Promise.all(running);
  assert.ok(ended.every(({ ending }) => !ending.includes('terminal events') && !ending.includes('more')));

  await stack.nats?.restart();
  await until('the gateway to be ready', async () => (await readiness()) === 200);
  await until('the roles to be back', async () => (await ask(stack, { model: 'test-chat' })).status === 200);
  const served = await Promise.all([
    ...many(stack, 8, { model: 'test-chat' }),
    ...many(stack, 8, { model: 'test-chat', stream: true }),
  ]);
  assert.deepEqual(failures(served), []);
});
