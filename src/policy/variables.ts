// The variables of one decision's expressions (policy 3.4). Each variable and each field is made when an expression
// reads it, so a decision pays for what its policy asks and for nothing else.
import { type CelMap, type CelValue, mapOf } from './cel-value.ts';
import type { Budget, Facts, Live } from './facts.ts';
import { type LocalTime, localTime } from './local-time.ts';
import type { Target } from './policy.ts';
import { type Field, FIELDS, type Source } from './variables-fields.ts';

/** What is known when conditions are asked. */
export interface Known {
  readonly facts: Facts;
  readonly live: Live;
  /** Status words of the failed attempt, or of an empty choice (policy 3.2); empty before anything failed. */
  readonly status: readonly string[];
  /** Number of the attempt that is decided, from 1. */
  readonly attempt: number;
  readonly errorClass?: string | undefined;
  readonly currentProvider?: string | undefined;
  /** Of `time.*`; absent: UTC. */
  readonly timeZone?: string | undefined;
}

type Constructor = new (source: Source) => object;

/** A class of its own for each variable: the evaluator knows the type of an object by its class. */
function classOf(fields: Readonly<Record<string, Field>>): Constructor {
  class Values {
    readonly source: Source;

    constructor(source: Source) {
      this.source = source;
    }
  }
  for (const [name, { read }] of Object.entries(fields)) {
    Object.defineProperty(Values.prototype, name, {
      get(this: Values) {
        return read(this.source);
      },
    });
  }
  return Values;
}

/** The class whose objects each typed variable holds. */
export const CLASSES = {
  request: classOf(FIELDS.request),
  tenant: classOf(FIELDS.tenant),
  task: classOf(FIELDS.task),
  provider: classOf(FIELDS.provider),
  time: classOf(FIELDS.time),
  budget: classOf(FIELDS.budget),
} as const satisfies Readonly<Record<keyof typeof FIELDS, Constructor>>;

/** The variables by name, and the last word on why an expression had no answer. */
export class Variables implements Source {
  readonly facts: Facts;
  readonly live: Live;
  readonly #known: Known;
  readonly #made: { -readonly [Name in keyof typeof CLASSES]?: object } = {};
  #target: Target | undefined;
  #context: CelMap | undefined;
  #here: LocalTime | undefined;
  /** Why the last expression was false without an answer: a word for explanations, never a value. */
  fault: string | undefined;

  constructor(known: Known) {
    this.facts = known.facts;
    this.live = known.live;
    this.#known = known;
  }
  get request(): object {
    return (this.#made.request ??= new CLASSES.request(this));
  }
  get tenant(): object {
    return (this.#made.tenant ??= new CLASSES.tenant(this));
  }
  get task(): object {
    return (this.#made.task ??= new CLASSES.task(this));
  }
  get provider(): object {
    return (this.#made.provider ??= new CLASSES.provider(this));
  }
  get time(): object {
    return (this.#made.time ??= new CLASSES.time(this));
  }
  get budget(): object {
    return (this.#made.budget ??= new CLASSES.budget(this));
  }
  get context(): CelMap {
    return (this.#context ??= contextOf(this.#known));
  }
  get target(): Target {
    if (this.#target === undefined) throw new Error('an expression without a candidate asks for one');
    return this.#target;
  }
  /** From now on `provider` speaks of this candidate. */
  set target(target: Target) {
    this.#target = target;
  }
  get here(): LocalTime {
    return (this.#here ??= localTime(this.facts.timeMs ?? 0, this.#known.timeZone ?? 'UTC'));
  }
  get budgetState(): Budget | undefined {
    return this.live.budget?.();
  }
}

/** The caller's facts under the router's own words, which a caller can never say. */
function contextOf({ facts, status, attempt, errorClass, currentProvider }: Known): CelMap {
  const words: readonly (readonly [string, CelValue | undefined])[] = [
    ['status', status.length > 0 ? status : undefined],
    ['attempt', attempt > 1 ? BigInt(attempt) : undefined],
    ['error_class', errorClass],
    ['current_provider', currentProvider],
  ];
  const map = mapOf(facts.context);
  for (const [word, value] of words) {
    if (value === undefined) map.delete(word);
    else map.set(word, value);
  }
  return map;
}
