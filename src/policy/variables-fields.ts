// The fields of the typed variables (policy 3.4): of which type each is, and where it comes from.
// Integers are int, ratios double. Unknown numbers are 0, unknown texts empty, unknown claims false.
import { type CelMap, frozenMapOf, intOf } from './cel-value.ts';
import { expectedCost } from './expectations.ts';
import type { Budget, Facts, Live } from './facts.ts';
import type { LocalTime } from './local-time.ts';
import type { Target } from './policy.ts';

/** Where fields are read from. */
export interface Source {
  readonly facts: Facts;
  readonly live: Live;
  /** The candidate of `provider.*`; throws where there is none. */
  readonly target: Target;
  /** The time of the request in the policy's time zone. */
  readonly here: LocalTime;
  readonly budgetState: Budget | undefined;
}

type Read<T> = (source: Source) => T;
type Label = Readonly<Record<string, unknown>>;

/** A type as the evaluator calls it, and how to read a value of it. */
export interface Field {
  readonly type: 'string' | 'int' | 'double' | 'bool' | 'list<string>' | 'map<string, dyn>';
  readonly read: Read<string | bigint | number | boolean | readonly string[] | CelMap>;
}

const NO_TEXTS: readonly string[] = Object.freeze([]);

const text = (read: Read<string | undefined>): Field => ({ type: 'string', read: (source) => read(source) ?? '' });
const int = (read: Read<number | undefined>): Field => ({ type: 'int', read: (source) => intOf(read(source)) });
const double = (read: Read<number | undefined>): Field => ({ type: 'double', read: (source) => read(source) ?? 0 });
const bool = (read: Read<boolean | undefined>): Field => ({ type: 'bool', read: (source) => read(source) ?? false });
const texts = (read: Read<readonly string[] | undefined>): Field => ({
  type: 'list<string>',
  read: (source) => read(source) ?? NO_TEXTS,
});
const map = (read: Read<Label | undefined>): Field => ({
  type: 'map<string, dyn>',
  read: (source) => frozenMapOf(read(source)),
});

const usedOf = (budget: Budget | undefined): number => (budget?.spentMicroUsd ?? 0) + (budget?.reservedMicroUsd ?? 0);

/** The typed variables. `context` is a map of its own. */
export const FIELDS = {
  request: {
    id: text(({ facts }) => facts.requestId),
    model: text(({ facts }) => facts.model),
    stream: bool(({ facts }) => facts.stream),
    durable: bool(({ facts }) => facts.durable),
    dialect: text(({ facts }) => facts.dialect),
    priority: int(({ facts }) => facts.priority),
    deadline_ms: int(({ facts }) => facts.deadlineMs),
    size_bytes: int(({ facts }) => facts.sizeBytes),
    input_tokens: int(({ facts }) => facts.inputTokens),
    max_output_tokens: int(({ facts }) => facts.maxOutputTokens),
    has_tools: bool(({ facts }) => facts.hasTools),
    has_images: bool(({ facts }) => facts.hasImages),
    key_id: text(({ facts }) => facts.keyId),
    user_id: text(({ facts }) => facts.userId),
    scopes: texts(({ facts }) => facts.scopes),
    idempotent: bool(({ facts }) => facts.idempotent),
  },
  tenant: {
    id: text(({ facts }) => facts.tenantId),
    tier: text(({ facts }) => facts.tenantTier),
    labels: map(({ facts }) => facts.tenantLabels),
  },
  task: {
    type: text(({ facts }) => facts.taskType),
    size_bytes: int(({ facts }) => facts.taskSizeBytes),
    params: map(({ facts }) => facts.taskParams),
  },
  provider: {
    name: text(({ target }) => target.name),
    model: text(({ target, facts }) => target.model ?? facts.model),
    pool: text(({ target }) => target.pool),
    labels: map(({ target }) => target.labels),
    weight: double(({ target }) => target.weight),
    priority: int(({ target }) => target.priority),
    breaker: text(({ target: { name }, live }) =>
      live.isHalfOpen?.(name) === true ? 'half_open' : live.isOpen?.(name) === true ? 'open' : 'closed',
    ),
    in_flight: int(({ target, live }) => live.inFlight?.(target.name)),
    capacity: int(({ target, live }) => target.maxInFlight ?? live.capacity?.(target)),
    latency_ms: int(({ target, live, facts }) => live.latency?.(target.name, facts.stream)?.ms),
    error_rate: double(({ target, live }) => live.errorRate?.(target.name)),
    cost_micro_usd: int(({ target, live, facts }) => expectedCost(target, facts, live)),
    cooling: bool(({ target, live }) => live.isCooling?.(target.name, 0)),
  },
  time: {
    unix_ms: int(({ facts }) => facts.timeMs),
    hour: int(({ here }) => here.hour),
    minute: int(({ here }) => here.minute),
    weekday: int(({ here }) => here.weekday),
    date: text(({ here }) => here.date),
  },
  budget: {
    id: text(({ budgetState }) => budgetState?.id),
    limit_micro_usd: int(({ budgetState }) => budgetState?.limitMicroUsd),
    spent_micro_usd: int(({ budgetState }) => budgetState?.spentMicroUsd),
    reserved_micro_usd: int(({ budgetState }) => budgetState?.reservedMicroUsd),
    remaining_micro_usd: int(({ budgetState }) => Math.max(0, (budgetState?.limitMicroUsd ?? 0) - usedOf(budgetState))),
    used_ratio: double(({ budgetState }) =>
      budgetState === undefined || budgetState.limitMicroUsd <= 0 ? 0 : usedOf(budgetState) / budgetState.limitMicroUsd,
    ),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Field>>>>;
