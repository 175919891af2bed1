import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndFrame } from '../contracts/frames.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Amounts, Reservation } from '../limit/budgets.ts';
import { budgetedExchanges } from './budgeted-exchanges.ts';
import type { Exchange, Exchanges, Order, Reader, Routed } from './order.ts';

const order: Order = {
  requestId: 'req-1',
  traceId: 't-1',
  tenantId: 'acme',
  keyId: 'k-1',
  userId: undefined,
  taskType: 'ai.chat',
  dialect: 'openai.chat',
  body: {},
  stream: false,
  policyId: 'default',
  model: 'small',
  providersAllow: undefined,
  context: {},
  inputTokensEstimate: 10,
  outputTokensMax: 20,
  scopes: ['ai:invoke'],
  sizeBytes: 120,
  deadlineMs: 1_000,
  idleMs: undefined,
  attemptsMax: undefined,
  wishes: undefined,
};
const end: EndFrame = {
  type: 'end',
  assignment_id: 'a-1',
  attempt: 1,
  seq: 1,
  finish_reason: 'stop',
  usage: { model: 'small', input_tokens: 3, output_tokens: 4, cost_micro_usd: 5 },
  total_cost_micro_usd: 7,
};
const estimated: Amounts = { micro_usd: 100, tokens: 30, requests: 1 };
const routed: Routed = {
  providerId: 'alder',
  model: 'small',
  policyId: 'default',
  policyRevision: 3,
  attempts: 1,
  costMicroUsd: 7,
};

type Answer = 'at once' | 'later' | BeamlineError;

function open(answer: Answer) {
  const seen = { opened: 0, cancels: [] as string[], settled: [] as Amounts[], ended: 0, failed: [] as string[] };
  let relayReader: Reader | undefined;
  const exchanges: Exchanges = {
    active: 0,
    open(_order, reader): Exchange {
      seen.opened++;
      relayReader = reader;
      return { routed, cancel: (reason) => void seen.cancels.push(reason) };
    },
  };
  const reservation: Reservation = { settle: (actual) => void seen.settled.push(actual) };
  const budgeted = budgetedExchanges({
    exchanges,
    estimate: () => estimated,
    epochMs: () => 0,
    budgets: {
      covers: (tenantId) => tenantId === 'acme',
      reserve() {
        if (answer === 'at once') return reservation;
        return answer === 'later' ? Promise.resolve(reservation) : Promise.reject(answer);
      },
    },
  });
  const reader: Reader = {
    chunk: () => undefined,
    end: () => void seen.ended++,
    fail: ({ code }) => void seen.failed.push(code),
  };
  return { budgeted, reader, seen, relay: () => relayReader };
}

const settle = (): Promise<void> => new Promise(setImmediate);

for (const answer of ['at once', 'later'] as const) {
  test(`reserved ${answer}: the router is asked after it, and the end settles what all attempts took`, async () => {
    const { budgeted, reader, seen, relay } = open(answer);
    const exchange = budgeted.open(order, reader);
    assert.equal(seen.opened, answer === 'later' ? 0 : 1);
    await settle();
    assert.deepEqual([seen.opened, exchange.routed.providerId, exchange.routed.policyRevision], [1, 'alder', 3]);
    relay()?.end(end);
    assert.deepEqual([seen.ended, seen.settled], [1, [{ micro_usd: 7, tokens: 7, requests: 1 }]]);
    exchange.cancel('client_disconnected');
    assert.equal(seen.settled.length, 1);
  });
}

test('a refusal is the answer, and nothing was asked of the router', async () => {
  const { budgeted, reader, seen } = open(new BeamlineError('budget_exceeded', 'spent'));
  budgeted.open(order, reader);
  await settle();
  assert.deepEqual([seen.opened, seen.failed], [0, ['budget_exceeded']]);
});

test('a caller who leaves while it is reserved costs nothing', async () => {
  const { budgeted, reader, seen } = open('later');
  budgeted.open(order, reader).cancel('client_disconnected');
  await settle();
  assert.deepEqual([seen.opened, seen.settled], [0, [{ micro_usd: 0, tokens: 0, requests: 0 }]]);
});

test('a failure and a cancelled exchange keep what they reserved until the ledger knows better', () => {
  const failed = open('at once');
  failed.budgeted.open(order, failed.reader);
  failed.relay()?.fail(new BeamlineError('worker_lost', 'gone'));
  assert.deepEqual([failed.seen.failed, failed.seen.settled], [['worker_lost'], [estimated]]);
  const cancelled = open('at once');
  cancelled.budgeted.open(order, cancelled.reader).cancel('client_disconnected');
  assert.deepEqual([cancelled.seen.cancels, cancelled.seen.settled], [['client_disconnected'], [estimated]]);
});

test('a tenant without budgets has the relay itself', () => {
  const { budgeted, reader, seen, relay } = open('at once');
  budgeted.open({ ...order, tenantId: 'umbra' }, reader);
  assert.deepEqual([relay(), seen.opened], [reader, 1]);
});
