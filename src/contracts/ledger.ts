// What others ask of the ledger: reports of usage and cost, prices. It never sits on the path of a request.
import { Type } from 'typebox';
import { type BucketSpec, keyOf } from './bucket.ts';
import { payload, requestContract } from './contract.ts';
import { contextOf, Failure, failureOf, ReplyContext } from './failure.ts';
import { Id, maybe, OpenObject } from './fields.ts';

/** The operator's price document, one entry; written by the ledger alone. */
export const priceBucket: BucketSpec = { name: 'prices', bytesMax: 67_108_864 };
export const priceKey = keyOf('document');

export const LEDGER_OPERATIONS = [
  'usage',
  'usage_events',
  'usage_run',
  'prices',
  'put_prices',
  'reconcile',
  'costs',
] as const;
export type LedgerOperation = (typeof LEDGER_OPERATIONS)[number];

const LedgerRequest = Type.Object({
  version: Type.Literal('2'),
  request_id: Id,
  // `-` where the operation is about no single tenant.
  tenant_id: Id,
  params: OpenObject,
});
export type LedgerRequest = Type.Static<typeof LedgerRequest>;

const LedgerReply = Type.Object({
  version: Type.Literal('2'),
  ok: Type.Boolean(),
  result: maybe(OpenObject),
  error: maybe(Failure),
  context: ReplyContext,
});
export type LedgerReply = Type.Static<typeof LedgerReply>;

export const ledgerV2 = requestContract({
  class: 'request_reply',
  template: 'beamline.ledger.v2.<op>',
  headers: 'request_reply_v2',
  request: payload('beamline.ledger.LedgerRequest', '2', LedgerRequest),
  reply: payload('beamline.ledger.LedgerReply', '2', LedgerReply),
  refuse: (error, request): LedgerReply => ({
    version: '2',
    ok: false,
    error: failureOf(error),
    context: contextOf(request),
  }),
});
