// One step of an explanation (policy 11.1). Whoever takes a step tells it, if somebody listens.

export interface ExplanationStep {
  readonly n: number;
  readonly stage: string;
  readonly outcome: 'matched' | 'skipped' | 'removed' | 'chosen' | 'blocked' | 'error';
  readonly detail: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A step before it has its number. */
export type Told = Omit<ExplanationStep, 'n'>;

/** Hears steps in their order. It must change nothing, so that a decision never depends on being explained. */
export type Tell = (step: Told) => void;
