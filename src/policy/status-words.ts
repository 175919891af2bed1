// The words by which conditions know a failed attempt (policy 3.2). The words of an empty choice,
// such as `all_providers_failed`, are added where the choice is made.
import { EXECUTION_ERRORS, type FailureClass } from '../core/execution-errors.ts';
import { nearest } from '../core/nearest.ts';
import type { Findings } from './issue.ts';

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

const EMPTY_WORDS = ['all_providers_failed', 'circuit_breaker_open', 'budget_exceeded'] as const;
const HTTP = /^[1-5](?:\d\d|xx)$/;

const WORDS: ReadonlySet<string> = new Set([
  ...Object.values(EXECUTION_ERRORS).map((row) => row.class),
  ...Object.keys(EXECUTION_ERRORS).map((code) => code.toLowerCase()),
  ...EMPTY_WORDS,
  'rate_limited',
]);

export const isStatusWord = (word: unknown): boolean =>
  typeof word === 'string' && (WORDS.has(word) || HTTP.test(word));

/** Error codes are an open set, so a word that nobody knows is a warning: it never holds. */
export function checkStatusWord(word: unknown, path: string, findings: Findings): void {
  if (isStatusWord(word)) return;
  if (typeof word !== 'string') {
    return findings.warning(path, 'no_effect', `words of a failure are texts: write ${String(word)} in quotes`);
  }
  const guess = HTTP.test(word.toLowerCase()) ? word.toLowerCase() : nearest(word.toLowerCase(), WORDS);
  const hint = guess === undefined ? '' : `; did you mean '${guess}'?`;
  findings.warning(path, 'no_effect', `no failure has the word '${word}'${hint}`);
}
