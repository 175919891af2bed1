// The keys of what a policy tries on a part of its requests: experiments, the canary and the shadow (policy 5.4 to 5.6).
import { boolean, id, integer, list, number, providerName, text, when } from './document-parts.ts';
import { effect, type EffectDocument } from './rule-document.ts';
import type { Shape } from './shape.ts';

export interface ExperimentDocument {
  readonly id: string;
  readonly enabled?: boolean;
  readonly when?: unknown;
  readonly unit?: string;
  readonly arms: readonly { readonly name: string; readonly share: number; readonly then?: EffectDocument }[];
}

export interface CanaryDocument {
  readonly to: string;
  readonly share: number;
  readonly when?: unknown;
  readonly unit?: string;
  readonly abort_on?: { readonly error_rate?: number; readonly p95_ms?: number; readonly min_requests?: number };
}

export interface ShadowDocument {
  readonly to: string;
  readonly share: number;
  readonly when?: unknown;
  readonly max_in_flight?: number;
}

/** Percent. */
const share = number(0, 100);
const unit = text(1, 255);

const arm: Shape = {
  kind: 'record',
  fields: {
    name: { shape: id, isRequired: true },
    share: { shape: share, isRequired: true },
    // eslint-disable-next-line unicorn/no-thenable -- the word of the language
    then: { shape: effect },
  },
};

export const experiment: Shape = {
  kind: 'record',
  fields: {
    id: { shape: id, isRequired: true },
    enabled: { shape: boolean },
    when: { shape: when },
    unit: { shape: unit },
    arms: { shape: list(arm, 2, 5), isRequired: true },
  },
};

const abortOn: Shape = {
  kind: 'record',
  fields: {
    error_rate: { shape: number(0, 1) },
    p95_ms: { shape: integer(1, 3_600_000) },
    min_requests: { shape: integer(1, 1_000_000) },
  },
};

export const canary: Shape = {
  kind: 'record',
  fields: {
    to: { shape: providerName, isRequired: true },
    share: { shape: share, isRequired: true },
    when: { shape: when },
    unit: { shape: unit },
    abort_on: { shape: abortOn },
  },
};

export const shadow: Shape = {
  kind: 'record',
  fields: {
    to: { shape: providerName, isRequired: true },
    share: { shape: share, isRequired: true },
    when: { shape: when },
    max_in_flight: { shape: integer(1, 100_000) },
  },
};
