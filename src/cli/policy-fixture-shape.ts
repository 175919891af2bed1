// What a fixture of a policy may say.
import { EXECUTION_ERRORS } from '../core/execution-errors.ts';
import { REQUEST_SHAPE, type RequestDocument } from '../policy/request-document.ts';
import { check, type Shape } from '../policy/shape.ts';
import { SNAPSHOT_SHAPE, type SnapshotDocument } from '../policy/snapshot-document.ts';
import type { TrialFailure } from './policy-trial.ts';

export type OneOrMore = string | readonly string[];

/** What must come out; a list of providers means one of them. */
export interface Expectation {
  readonly provider?: OneOrMore;
  readonly not_provider?: OneOrMore;
  readonly reason?: OneOrMore;
  readonly error?: OneOrMore;
  readonly model?: OneOrMore;
  readonly fallback_used?: boolean;
  /** Of a rule that must have matched; of an arm that the request must be in, as `experiment/arm`. */
  readonly tag?: string;
  readonly arm?: string;
  /** The provider of each attempt, in order. */
  readonly tries?: readonly string[];
}

export interface TrialDocument {
  readonly request?: RequestDocument;
  readonly snapshot?: SnapshotDocument;
  readonly seed?: string;
  readonly failures?: readonly TrialFailure[];
}

export interface FixtureDocument extends TrialDocument {
  readonly name: string;
  readonly expect: Expectation;
}

const FIXTURES_MAX = 10_000;

const text: Shape = { kind: 'text', charsMin: 1, charsMax: 256 };
const texts: Shape = { kind: 'list', of: text, min: 1, max: 100 };
const oneOrMore: Shape = {
  kind: 'own',
  check: (value, path, context) => check(value, Array.isArray(value) ? texts : text, path, context),
};
const number: Shape = { kind: 'number', min: 0, max: 86_400_000, isInteger: true };
const boolean: Shape = { kind: 'boolean' };

const failure: Shape = {
  kind: 'record',
  fields: {
    code: { shape: { kind: 'word', words: Object.keys(EXECUTION_ERRORS) }, isRequired: true },
    http_status: { shape: { kind: 'number', min: 100, max: 599, isInteger: true } },
    retry_after_ms: { shape: number },
    committed: { shape: boolean },
    after_ms: { shape: number },
  },
};

const trialFields = {
  request: { shape: REQUEST_SHAPE },
  snapshot: { shape: SNAPSHOT_SHAPE },
  seed: { shape: text },
  failures: { shape: { kind: 'list', of: failure, min: 0, max: 10 } },
} as const satisfies Record<string, { shape: Shape }>;

const expectation: Shape = {
  kind: 'record',
  fields: {
    provider: { shape: oneOrMore },
    not_provider: { shape: oneOrMore },
    reason: { shape: oneOrMore },
    error: { shape: oneOrMore },
    model: { shape: oneOrMore },
    fallback_used: { shape: boolean },
    tag: { shape: text },
    arm: { shape: text },
    tries: { shape: { kind: 'list', of: text, min: 0, max: 11 } },
  },
};

const fixture: Shape = {
  kind: 'record',
  fields: {
    name: { shape: text, isRequired: true },
    ...trialFields,
    expect: { shape: expectation, isRequired: true },
  },
};

/** A file of fixtures. */
export const FIXTURES_SHAPE: Shape = { kind: 'list', of: fixture, min: 1, max: FIXTURES_MAX };
/** A fixture without name and expectation. */
export const TRIAL_SHAPE = { kind: 'record', fields: trialFields } as const satisfies Shape;
