// The words by which conditions know a failed attempt (policy 3.2). The words of an empty choice,
// such as `all_providers_failed`, are added where the choice is made.
import type { FailureClass } from '../core/execution-errors.ts';

/** How an attempt ended badly. */
export interface Failure {
  /** Execution code, for example PROVIDER_RATE_LIMITED. */
  readonly code: string;
  readonly detailCode?: string | undefined;
  readonly class: FailureClass;
  readonly retryable: boolean;
  readonly httpStatus?: number | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The first chunk has reached the caller: no other attempt may start. */
  readonly committed: boolean;
}

export function statusWords(failure: Pick<Failure, 'code' | 'class' | 'httpStatus'>): readonly string[] {
  const { httpStatus } = failure;
  const words: string[] = [failure.class, failure.code.toLowerCase()];
  if (httpStatus !== undefined) words.push(String(httpStatus), `${Math.floor(httpStatus / 100)}xx`);
  if (failure.code === 'PROVIDER_RATE_LIMITED' || httpStatus === 429) words.push('rate_limited');
  return words;
}
