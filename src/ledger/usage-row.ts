// A usage event as a row: its key, its digest, and its cost by the ledger's own prices (worker 14.1, 14.2).
import { hash } from 'node:crypto';
import type { Metered, PriceBook } from '../catalog/price-book.ts';
import { costParts } from '../catalog/price-parts.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import { BeamlineError } from '../core/errors.ts';
import type { USAGE_COLUMNS } from './schema.ts';

type Column = (typeof USAGE_COLUMNS)[number];
type Amount =
  | 'input_tokens'
  | 'cached_input_tokens'
  | 'cache_write_tokens'
  | 'output_tokens'
  | 'cost_micro_usd'
  | 'attempt'
  | 'occurred_at'
  | 'folded_at';
type Flag = 'estimated' | 'unpriced' | 'billable';
type MaybeAmount = 'reasoning_tokens' | 'reported_micro_usd' | 'expected_cost_micro_usd' | 'policy_revision';
type MaybeText =
  | 'request_id'
  | 'run_id'
  | 'step_id'
  | 'model'
  | 'key_id'
  | 'user_id'
  | 'policy_id'
  | 'price_version'
  | 'adjusts';

/** One row of `usage_events`; what is absent is null. */
export type UsageRow = Readonly<Record<Exclude<Column, Amount | Flag | MaybeAmount | MaybeText>, string>> &
  Readonly<Record<Amount, number>> &
  Readonly<Record<Flag, 0 | 1>> &
  Readonly<Record<MaybeAmount, number | null>> &
  Readonly<Record<MaybeText, string | null>>;

/** A row and what stands beside it. */
export interface FoldedUsage {
  readonly row: UsageRow;
  readonly tags: readonly string[];
  readonly event: UsageEvent;
}

/** Tokens or micro-USD of one attempt; more is a fault of its sender, and would spoil sums. */
const AMOUNT_MAX = 1_000_000_000_000;
/** The last moment that a date can say (ECMAScript). */
const MOMENT_MAX = 8_640_000_000_000_000;
const AMOUNTS = [
  'input_tokens',
  'output_tokens',
  'cached_input_tokens',
  'cache_write_tokens',
  'reasoning_tokens',
  'cost_micro_usd',
  'expected_cost_micro_usd',
  'requests',
  'bytes_out',
  'cpu_ms',
] as const;

/** The key of an event; old senders name none. */
export const usageIdOf = (event: UsageEvent): string =>
  event.usage_id === undefined
    ? `${event.tenant_id}:${event.assignment_id}:${event.attempt ?? 1}`
    : storable(event.usage_id);

/** A text that every store gives back as it is: whole characters, and no NUL. */
const storable = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\uFFFD');
const maybeStorable = (text: string | undefined): string | null => (text === undefined ? null : storable(text));

/** Throws `validation_failed` for amounts or moments that no attempt can have. */
export function usageRowOf(event: UsageEvent, prices: PriceBook, epochMs: number): FoldedUsage {
  for (const name of AMOUNTS) if ((event[name] ?? 0) > AMOUNT_MAX) throw impossible(name);
  if (event.timestamp > MOMENT_MAX) throw impossible('timestamp');
  if ((event.attempt ?? 1) > 1_000_000) throw impossible('attempt');
  if ((event.policy_revision ?? 0) > Number.MAX_SAFE_INTEGER) throw impossible('policy_revision');
  const cost = costOf(event, prices);
  if (cost.microUsd > AMOUNT_MAX) throw impossible('cost');
  const tags = [...new Set(event.tags)];
  const row: UsageRow = {
    usage_id: usageIdOf(event),
    tenant_id: event.tenant_id,
    assignment_id: event.assignment_id,
    attempt: event.attempt ?? 1,
    request_id: event.request_id ?? null,
    // A request without a run is its own.
    run_id: event.run_id ?? event.request_id ?? null,
    step_id: event.step_id ?? null,
    event_type: event.event_type,
    provider_id: event.provider_id,
    model: maybeStorable(event.model),
    key_id: event.key_id ?? null,
    user_id: maybeStorable(event.user_id),
    policy_id: event.policy_id ?? null,
    policy_revision: event.policy_revision ?? null,
    status: event.status,
    input_tokens: event.input_tokens ?? 0,
    cached_input_tokens: event.cached_input_tokens ?? 0,
    cache_write_tokens: event.cache_write_tokens ?? 0,
    output_tokens: event.output_tokens ?? 0,
    reasoning_tokens: event.reasoning_tokens ?? null,
    cost_micro_usd: cost.microUsd,
    reported_micro_usd: reportedMicroUsd(event),
    expected_cost_micro_usd: event.expected_cost_micro_usd ?? null,
    price_version: cost.version,
    estimated: event.estimated === true ? 1 : 0,
    unpriced: cost.isUnpriced ? 1 : 0,
    billable: event.billable === false || event.shadow === true ? 0 : 1,
    adjusts: maybeStorable(event.adjusts),
    occurred_at: event.timestamp,
    folded_at: epochMs,
    digest: digestOf(event),
    detail: detailOf(event, tags, cost.parts),
  };
  return { row, tags, event };
}

const impossible = (field: string): BeamlineError =>
  new BeamlineError('validation_failed', `a usage event has an impossible ${field}`, { details: { field } });

const reportedMicroUsd = (event: UsageEvent): number => event.cost_micro_usd ?? Math.round(event.cost * 1e6);

interface RowCost {
  readonly microUsd: number;
  readonly version: string | null;
  readonly isUnpriced: boolean;
  readonly parts: readonly unknown[];
}

/** By the ledger's prices. What it has no price for keeps the cost that its worker told, without a version of ours. */
function costOf(event: UsageEvent, prices: PriceBook): RowCost {
  const line = event.model === undefined ? undefined : prices.lineOf(event.provider_id, event.model, event.timestamp);
  // Corrections are amounts already.
  if (line === undefined || event.adjusts !== undefined) {
    const microUsd = reportedMicroUsd(event);
    const isUnpriced = event.unpriced === true || (event.cost_micro_usd === undefined && microUsd === 0);
    return { microUsd, version: event.price_version ?? null, isUnpriced, parts: [] };
  }
  const metered = meteredOf(event);
  const parts = costParts(line.prices, metered);
  const microUsd = parts.reduce((sum, { micro_usd }) => sum + micro_usd, 0);
  return { microUsd, version: line.version ?? null, isUnpriced: false, parts };
}

const meteredOf = (event: UsageEvent): Metered => ({
  inputTokens: event.input_tokens ?? 0,
  outputTokens: event.output_tokens ?? 0,
  cachedInputTokens: event.cached_input_tokens ?? 0,
  cacheWriteTokens: event.cache_write_tokens ?? 0,
  requests: event.requests ?? 1,
  cpuMs: event.cpu_ms ?? 0,
  bytesOut: event.bytes_out ?? 0,
});

/** SHA-256 of the event in one spelling, hex: what tells a repeat from another event under the same key. */
function digestOf(event: UsageEvent): string {
  let text: string;
  try {
    text = canonicalJson(event);
  } catch {
    // Half a character in a text: the row has it replaced, and so has the digest.
    text = canonicalJson(JSON.parse(JSON.stringify(event), (_, value: unknown) => wellFormed(value)));
  }
  return hash('sha256', text);
}

const wellFormed = (value: unknown): unknown => (typeof value === 'string' ? value.toWellFormed() : value);

/** What has no column; JSON. */
function detailOf(event: UsageEvent, tags: readonly string[], parts: readonly unknown[]): string {
  const { latency_ms, ttft_ms, finish_reason, trace_id, worker_id, flow_id, experiments } = event;
  const { requests, bytes_in, bytes_out, cpu_ms } = event;
  return JSON.stringify({
    latency_ms,
    ttft_ms,
    finish_reason,
    trace_id,
    worker_id,
    flow_id,
    experiments,
    requests,
    bytes_in,
    bytes_out,
    cpu_ms,
    ...(tags.length === 0 ? {} : { tags }),
    ...(parts.length === 0 ? {} : { cost_parts: parts }),
  });
}
