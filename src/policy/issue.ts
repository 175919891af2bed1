// What validation finds (policy 11.5). All findings come at once, at most 100 of them; errors go before warnings.

export type ErrorIssueCode =
  | 'required'
  | 'type'
  | 'range'
  | 'pattern'
  | 'unknown_key'
  | 'too_many'
  | 'too_large'
  | 'requires_version_2'
  | 'conflict'
  | 'duplicate'
  | 'weights_sum_zero'
  | 'shares_sum'
  | 'unknown_provider'
  | 'invalid_expression'
  | 'not_boolean'
  | 'unknown_variable'
  | 'unsupported_function'
  | 'expression_too_complex'
  | 'unknown_extension'
  | 'invalid_config'
  | 'not_plain';

export type WarningCode =
  | 'no_effect'
  | 'clamped'
  | 'fallback_to_self'
  | 'unreachable_rule'
  | 'unpriced_model'
  | 'complexity'
  | 'unknown_extension';

/** One finding; `path` is a JSON Pointer into the document. */
export interface Issue {
  readonly path: string;
  readonly code: ErrorIssueCode | WarningCode;
  readonly message: string;
}

const FINDINGS_MAX = 100;

/** Gathers the findings of one document. */
export class Findings {
  readonly #errors: Issue[] = [];
  readonly #warnings: Issue[] = [];

  error(path: string, code: ErrorIssueCode, message: string): void {
    if (this.#errors.length < FINDINGS_MAX) this.#errors.push({ path, code, message });
  }

  warning(path: string, code: WarningCode, message: string): void {
    if (this.#warnings.length < FINDINGS_MAX) this.#warnings.push({ path, code, message });
  }

  get isFull(): boolean {
    return this.#errors.length >= FINDINGS_MAX;
  }

  get errors(): readonly Issue[] {
    return this.#errors;
  }

  get warnings(): readonly Issue[] {
    return this.#warnings.slice(0, FINDINGS_MAX - this.#errors.length);
  }
}

/** The JSON Pointer of a member. */
export const pathTo = (parent: string, member: string | number): string =>
  `${parent}/${String(member).replaceAll('~', '~0').replaceAll('/', '~1')}`;
