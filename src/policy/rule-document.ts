// The keys of rules and of what they do (policy 5.3).
import {
  boolean,
  id,
  list,
  PROVIDER_NAME,
  providerName,
  spanMs,
  strategy,
  text,
  weight,
  when,
  where,
  word,
} from './document-parts.ts';
import type { Rejection, Strategy } from './policy.ts';
import type { Fields, Shape } from './shape.ts';

/** What a rule or an arm does to the requests that it holds for. */
export interface EffectDocument {
  readonly only?: readonly string[];
  readonly exclude?: readonly string[];
  readonly where?: string;
  readonly weights?: Readonly<Record<string, number>>;
  readonly strategy?: Strategy;
  readonly timeout_ms?: number;
  readonly tag?: string;
}

export interface RuleDocument {
  readonly id: string;
  readonly when?: unknown;
  readonly then: EffectDocument & {
    readonly reject?: { readonly code: Rejection['code']; readonly message?: string };
  };
  readonly continue?: boolean;
}

/** Effects are keys of version 2 alone: their parents are marked. */
const effectFields: Fields = {
  only: { shape: list(providerName, 1, 100) },
  exclude: { shape: list(providerName, 0, 100) },
  where: { shape: where },
  weights: { shape: { kind: 'map', key: PROVIDER_NAME, of: weight, min: 1, max: 100 } },
  strategy: { shape: strategy },
  timeout_ms: { shape: spanMs },
  tag: { shape: id },
};

export const effect: Shape = { kind: 'record', fields: effectFields };

const reject: Shape = {
  kind: 'record',
  fields: {
    code: { shape: word(['forbidden', 'content_blocked', 'rate_limit_exceeded']), isRequired: true },
    message: { shape: text(1, 1_024) },
  },
};

export const rule: Shape = {
  kind: 'record',
  fields: {
    id: { shape: id, isRequired: true },
    when: { shape: when },
    // eslint-disable-next-line unicorn/no-thenable -- the word of the language
    then: { shape: { kind: 'record', fields: { ...effectFields, reject: { shape: reject } } }, isRequired: true },
    continue: { shape: boolean },
  },
};
