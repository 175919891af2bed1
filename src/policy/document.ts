// The policy document: its keys with their ranges (policy 2), and its type once it has been checked.
// `isV2` marks keys that need version 2.
import { budget, type BudgetDocument } from './budget-document.ts';
import type { Label, Strategy } from './policy.ts';
import {
  boolean,
  id,
  integer,
  list,
  number,
  PROVIDER_NAME,
  providerName,
  spanMs,
  strategy,
  text,
  textLike,
  weight,
  when,
  where,
} from './document-parts.ts';
import { type ProcessorDocument, processors, type ValidatorDocument, validators } from './extension-document.ts';
import { isTimeZone } from './local-time.ts';
import { rateLimit, type RateLimitDocument } from './rate-limit-document.ts';
import {
  backoff,
  type BackoffDocument,
  breaker,
  type BreakerDocument,
  escalation,
  type EscalationDocument,
  retry,
  type RetryDocument,
} from './resilience-document.ts';
import { rule, type RuleDocument } from './rule-document.ts';
import { mustBe } from './must-be.ts';
import type { Shape } from './shape.ts';
import {
  canary,
  type CanaryDocument,
  experiment,
  type ExperimentDocument,
  shadow,
  type ShadowDocument,
} from './trial-document.ts';

interface ProviderDocument {
  readonly name: string;
  readonly weight?: number;
  readonly priority?: number;
  readonly model?: string;
  readonly models?: readonly string[];
  readonly pool?: string;
  readonly labels?: Readonly<Record<string, Label>>;
  readonly enabled?: boolean;
  readonly when?: string;
  readonly max_in_flight?: number;
}

interface FallbackDocument {
  readonly when: unknown;
  readonly retry?: number;
  readonly backoff?: BackoffDocument;
  readonly to: string;
}

/** A document without errors. */
export interface PolicyDocument {
  readonly version: string;
  readonly timezone?: string;
  readonly providers?: readonly ProviderDocument[];
  readonly weights?: Readonly<Record<string, number>>;
  readonly strategy?: Strategy;
  readonly strategy_options?: { readonly tolerance?: number; readonly min_samples?: number };
  readonly rules?: readonly RuleDocument[];
  readonly experiments?: readonly ExperimentDocument[];
  readonly canary?: CanaryDocument;
  readonly shadow?: ShadowDocument;
  readonly sticky?: {
    readonly enabled?: boolean;
    readonly session_key?: string;
    readonly ttl?: string;
    readonly ttl_seconds?: number;
  };
  readonly timeout_ms?: number;
  readonly timeouts?: { readonly first_chunk_ms?: number; readonly idle_ms?: number; readonly attempt_ms?: number };
  readonly retry?: RetryDocument;
  readonly fallbacks?: readonly FallbackDocument[];
  readonly escalate_on?: readonly EscalationDocument[];
  readonly pre?: readonly ProcessorDocument[];
  readonly post?: readonly ProcessorDocument[];
  readonly validators?: readonly ValidatorDocument[];
  readonly circuit_breaker?: BreakerDocument;
  readonly rate_limit?: RateLimitDocument;
  readonly budgets?: readonly BudgetDocument[];
  readonly fallback?: { readonly provider: string; readonly conditions?: readonly string[] };
}

const TTL_SECONDS_MAX = 86_400;

const ttl: Shape = {
  kind: 'own',
  check(value, path, { findings }) {
    if (typeof value !== 'string') return findings.error(path, 'type', mustBe('a text', value));
    const seconds = ttlSeconds(value);
    if (seconds === undefined) findings.error(path, 'pattern', 'must be a number with s, m or h, for example 15m');
    else if (seconds < 1 || seconds > TTL_SECONDS_MAX) findings.error(path, 'range', 'must be from 1s to 24h');
  },
};

const timezone: Shape = {
  kind: 'own',
  check(value, path, { findings }) {
    if (typeof value !== 'string') findings.error(path, 'type', mustBe('a text', value));
    else if (!isTimeZone(value)) findings.error(path, 'pattern', 'must be an IANA name, for example Europe/Berlin');
  },
};

const provider: Shape = {
  kind: 'record',
  fields: {
    name: { shape: providerName, isRequired: true },
    weight: { shape: weight },
    priority: { shape: integer(0, 100) },
    model: { shape: text(1, 256), isV2: true },
    models: { shape: list(text(1, 256), 1, 1_000), isV2: true },
    pool: { shape: id, isV2: true },
    labels: { shape: { kind: 'map', key: /^.{1,128}$/u, of: { kind: 'scalar' }, min: 0, max: 64 }, isV2: true },
    enabled: { shape: boolean, isV2: true },
    when: { shape: where, isV2: true },
    max_in_flight: { shape: integer(1, 100_000), isV2: true },
  },
};

const strategyOptions: Shape = {
  kind: 'record',
  fields: { tolerance: { shape: number(0, 1) }, min_samples: { shape: integer(1, 1_000) } },
};

const sticky: Shape = {
  kind: 'record',
  fields: {
    enabled: { shape: boolean },
    session_key: { shape: text(1, 255) },
    ttl: { shape: ttl },
    ttl_seconds: { shape: integer(1, TTL_SECONDS_MAX) },
  },
};

const timeouts: Shape = {
  kind: 'record',
  fields: { first_chunk_ms: { shape: spanMs }, idle_ms: { shape: spanMs }, attempt_ms: { shape: spanMs } },
};

const fallbackItem: Shape = {
  kind: 'record',
  fields: {
    when: { shape: when, isRequired: true },
    retry: { shape: integer(0, 10) },
    backoff: { shape: backoff },
    to: { shape: providerName, isRequired: true },
  },
};

const compactFallback: Shape = {
  kind: 'record',
  fields: {
    provider: { shape: providerName, isRequired: true },
    conditions: { shape: list(text(1, 128), 0, 100) },
  },
};

/** The whole document. */
export const POLICY_SHAPE: Shape = {
  kind: 'record',
  fields: {
    version: { shape: textLike(1, 32, /^[12]\.\d+$/, 'be 1.N or 2.N, for example "2.0"'), isRequired: true },
    policy_id: { shape: id },
    tenant_id: { shape: id },
    description: { shape: text(0, 1_024) },
    metadata: { shape: { kind: 'open' } },
    timezone: { shape: timezone, isV2: true },
    providers: { shape: list(provider, 1, 100) },
    weights: { shape: { kind: 'map', key: PROVIDER_NAME, of: weight, min: 1, max: 100 } },
    strategy: { shape: strategy, isV2: true },
    strategy_options: { shape: strategyOptions, isV2: true },
    rules: { shape: list(rule, 0, 50), isV2: true },
    experiments: { shape: list(experiment, 0, 10), isV2: true },
    canary: { shape: canary, isV2: true },
    shadow: { shape: shadow, isV2: true },
    sticky: { shape: sticky },
    timeout_ms: { shape: spanMs },
    timeouts: { shape: timeouts, isV2: true },
    retry: { shape: retry, isV2: true },
    fallbacks: { shape: list(fallbackItem, 0, 20) },
    fallback: { shape: compactFallback },
    escalate_on: { shape: list(escalation, 0, 10), isV2: true },
    circuit_breaker: { shape: breaker },
    rate_limit: { shape: rateLimit },
    budgets: { shape: list(budget, 0, 10), isV2: true },
    pre: { shape: processors },
    post: { shape: processors },
    validators: { shape: validators },
    health_check: { shape: { kind: 'idle' } },
    defaults: { shape: { kind: 'idle' } },
  },
};

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** Seconds of a span such as `15m`; undefined if it is not one. */
export function ttlSeconds(span: string): number | undefined {
  const seconds = SECONDS[span.at(-1) ?? ''];
  return seconds !== undefined && /^\d+[smh]$/.test(span) ? Number(span.slice(0, -1)) * seconds : undefined;
}
