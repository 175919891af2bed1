import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import { deadLetterStream } from '../contracts/streams.ts';
import { usageMetered } from '../contracts/usage.ts';
import { BeamlineError } from '../core/errors.ts';
import { openJobs, orderOf } from './jobs/jobs-fixture.ts';

/** The bus, whose stream of this subject is full while `isFull` says so. */
function filling(inner: Bus, subject: string, isFull: () => boolean): Bus {
  const append: Bus['append'] = async (to, message, options) => {
    if (to.subject !== subject || !isFull()) return inner.append(to, message, options);
    throw new BeamlineError('unavailable', 'the store is full', { details: { reason: 'stream_full' } });
  };
  return new Proxy(inner, {
    get(target, name) {
      if (name === 'append') return append;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** A router whose stream of usage is full, and a worker. */
async function openFilling(isFull: () => boolean) {
  const jobs = await openJobs();
  const router = await jobs.start(filling(jobs.bus, usageMetered.template, isFull));
  let stopped: PromiseLike<void> | undefined;
  const stopFirst = async (): Promise<void> => {
    stopped ??= router[Symbol.asyncDispose]();
    await jobs.pass(1_000);
    await stopped;
  };
  return {
    jobs,
    stopFirst,
    async [Symbol.asyncDispose]() {
      await stopFirst();
      await jobs.stop();
    },
  };
}

test('a result waits for its usage event through an outage of any length: it is no dead letter, and its job ends once', async () => {
  let isFull = true;
  await using opened = await openFilling(() => isFull);
  const { jobs } = opened;
  assert.ok((await jobs.ask(orderOf())).ok);
  await jobs.pass(600_000);
  assert.equal((await jobs.bus.read(deadLetterStream, { fromSeq: 1, limit: 10 })).length, 0);
  assert.deepEqual(
    (await jobs.state())?.attempts.map(({ status }) => status),
    ['published'],
  );
  isFull = false;
  await jobs.pass(5_000);
  assert.equal((await jobs.state())?.status, 'succeeded');
  assert.deepEqual(
    (await jobs.usage()).map(({ attempt, cost_micro_usd }) => [attempt, cost_micro_usd]),
    [[1, 7]],
  );
  // Nobody has claimed it, so it is sent again; a worker that had it knows it by its mark.
  assert.deepEqual([...new Set(jobs.orders.map(({ attempt }) => attempt))], [1]);
});

test('a router that stops lets a result go that it could not account for', async () => {
  await using opened = await openFilling(() => true);
  const { jobs } = opened;
  assert.ok((await jobs.ask(orderOf())).ok);
  await jobs.pass(60_000);
  await opened.stopFirst();
  await jobs.start();
  await jobs.pass(60_000);
  assert.equal((await jobs.state())?.status, 'succeeded');
  assert.equal((await jobs.usage()).length, 1);
});

test('a result without a moment is billed at the one at which it was stored', async () => {
  const jobs = await openJobs();
  await jobs.start();
  const beforeMs = jobs.timers.clock.epochMs();
  const usage = { model: 'small', input_tokens: 3, output_tokens: 2, cost_micro_usd: 7 };
  const timeless = { assignment_id: 'call-1', tenant_id: 'acme', status: 'success', usage } as const;
  await jobs.bus.append(at(execResult), timeless, {
    messageId: 'm-1',
    timeoutMs: 1_000,
    correlation: { traceId: 't', tenantId: 'acme' },
  });
  await jobs.pass(1_000);
  assert.deepEqual(
    (await jobs.usage()).map(({ timestamp }) => timestamp),
    [beforeMs],
  );
  await jobs.stop();
});
