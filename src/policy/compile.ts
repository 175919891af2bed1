// Turns a document without errors into the frozen form that decisions read, with every default in its place.
import { Recent } from '../core/recent.ts';
import { compileBudget } from './budget-document.ts';
import { compileExtensions, compilePost } from './compile-extensions.ts';
import { compileBackoff, compileBreaker, compileRetry } from './compile-retry.ts';
import { compileRule, conditionOf } from './compile-rule.ts';
import { compileCanary, compileExperiment, compileShadow } from './compile-trial.ts';
import { type PolicyDocument, ttlSeconds } from './document.ts';
import { Findings } from './issue.ts';
import type { Course, Escalation, Fallback, Policy, Target } from './policy.ts';
import { compileRateLimit } from './rate-limit-document.ts';
import { compileWhere } from './when.ts';

const TTL_SECONDS = 3_600;
const TIMEOUT_MS = 300_000;
const RETRY = 1;
const POOL = 'default';
const SESSION_KEY = 'session_id';
const TOLERANCE = 0.1;
const MIN_SAMPLES = 5;
const NOTHING: readonly never[] = Object.freeze([]);

type ProviderDocument = NonNullable<PolicyDocument['providers']>[number];
type FallbackDocument = NonNullable<PolicyDocument['fallbacks']>[number];
type EscalationDocument = NonNullable<PolicyDocument['escalate_on']>[number];

export interface PolicyKey {
  readonly tenantId: string;
  readonly policyId: string;
  readonly revision: number;
}

export function compilePolicy(document: PolicyDocument, key: PolicyKey): Policy {
  const { sticky, timeouts, canary, rules = [], strategy = 'weighted', timeout_ms: timeoutMs = TIMEOUT_MS } = document;
  const targets = (document.providers ?? providersOf(document.weights ?? {})).map(compileTarget);
  const experiments = (document.experiments ?? []).filter(({ enabled }) => enabled !== false);
  const isPlain =
    rules.length === 0 &&
    experiments.length === 0 &&
    canary === undefined &&
    targets.every(({ when }) => when === undefined);
  return Object.freeze({
    document,
    policyId: key.policyId,
    tenantId: key.tenantId,
    revision: key.revision,
    version: document.version,
    timezone: document.timezone ?? 'UTC',
    strategy,
    strategyOptions: Object.freeze({
      tolerance: document.strategy_options?.tolerance ?? TOLERANCE,
      minSamples: document.strategy_options?.min_samples ?? MIN_SAMPLES,
    }),
    isUnweighted: targets.every(({ weight }) => weight === 0),
    targets: Object.freeze(targets),
    rules: Object.freeze(rules.map(compileRule)),
    experiments: Object.freeze(experiments.map((item) => compileExperiment(item, sticky?.session_key ?? SESSION_KEY))),
    canary: canary === undefined ? undefined : compileCanary(canary, targetOf(canary.to, targets)),
    shadow: compileShadow(document.shadow, (to) => targetOf(to, targets)),
    plainCourse: isPlain ? plainCourse(strategy, timeoutMs) : undefined,
    sticky: sticky?.enabled === true ? compileSticky(sticky) : undefined,
    timeoutMs,
    timeouts: Object.freeze({
      firstChunkMs: timeouts?.first_chunk_ms,
      idleMs: timeouts?.idle_ms,
      attemptMs: timeouts?.attempt_ms,
    }),
    retry: compileRetry(document.retry),
    fallbacks: Object.freeze(fallbacksOf(document).map((item) => compileFallback(item, targets))),
    escalations: Object.freeze((document.escalate_on ?? []).map((item) => compileEscalation(item, targets))),
    breaker: compileBreaker(document.circuit_breaker),
    rateLimit: compileRateLimit(document.rate_limit),
    budgets: Object.freeze((document.budgets ?? []).map(compileBudget)),
    extensions: compileExtensions(document.pre, document.validators),
    post: compilePost(document.post),
  } satisfies Policy);
}

const plainCourse = (strategy: Policy['strategy'], timeoutMs: number): Course =>
  Object.freeze({
    scope: undefined,
    effects: NOTHING,
    strategy,
    timeoutMs,
    tags: NOTHING,
    ruleId: undefined,
    arms: NOTHING,
    rejection: undefined,
  });

const providersOf = (weights: Readonly<Record<string, number>>): readonly ProviderDocument[] =>
  Object.entries(weights).map(([name, weight]) => ({ name, weight }));

/** The compact form is one more item at the end. */
function fallbacksOf({ fallbacks = [], fallback }: PolicyDocument): readonly FallbackDocument[] {
  if (fallback === undefined) return fallbacks;
  const { provider, conditions = [] } = fallback;
  const status = conditions.length > 0 ? conditions : ['all_providers_failed'];
  return [...fallbacks, { when: { status }, to: provider }];
}

/** Tenants of one template share their targets, which keeps what a decision walks small. */
const known = new Recent<Target>(4_096);
const SHARED_CHARS_MAX = 1_024;

function compileTarget(provider: ProviderDocument): Target {
  const key = JSON.stringify(provider);
  const shared = known.get(key);
  if (shared !== undefined) return shared;
  const target = newTarget(provider);
  if (key.length <= SHARED_CHARS_MAX) known.set(key, target);
  return target;
}

const newTarget = (provider: ProviderDocument): Target =>
  Object.freeze({
    name: provider.name,
    weight: provider.weight ?? 0,
    priority: provider.priority ?? 0,
    model: provider.model,
    serves: provider.models === undefined ? undefined : servesAny(provider.models),
    pool: provider.pool ?? POOL,
    maxInFlight: provider.max_in_flight,
    when:
      provider.when === undefined ? undefined : compileWhere(provider.when, '', { findings: new Findings(), major: 2 }),
    labels: Object.freeze({ ...provider.labels }),
    enabled: provider.enabled ?? true,
  });

/** A trailing `*` matches a prefix. */
function servesAny(models: readonly string[]): (model: string) => boolean {
  const exact = new Set(models.filter((model) => !model.endsWith('*')));
  const prefixes = models.filter((model) => model.endsWith('*')).map((model) => model.slice(0, -1));
  return (model) => exact.has(model) || prefixes.some((prefix) => model.startsWith(prefix));
}

const compileSticky = (sticky: NonNullable<PolicyDocument['sticky']>): Policy['sticky'] =>
  Object.freeze({
    sessionKey: sticky.session_key ?? SESSION_KEY,
    ttlMs: 1_000 * ((sticky.ttl === undefined ? sticky.ttl_seconds : ttlSeconds(sticky.ttl)) ?? TTL_SECONDS),
  });

const compileFallback = (item: FallbackDocument, targets: readonly Target[]): Fallback =>
  Object.freeze({
    holds: conditionOf(item.when),
    retry: item.retry ?? RETRY,
    backoff: compileBackoff(item.backoff),
    to: targetOf(item.to, targets),
  });

const compileEscalation = (item: EscalationDocument, targets: readonly Target[]): Escalation =>
  Object.freeze({ holds: conditionOf(item.when), to: targetOf(item.to, targets), reason: item.reason });

/** A target outside the document is a provider of the catalogue, with nothing of its own. */
const targetOf = (to: string, targets: readonly Target[]): Target =>
  targets.find(({ name }) => name === to) ?? compileTarget({ name: to });
