// An error as OpenAI clients read it (gateway 6.1, 6.2): the type follows the status, the code is ours but for three names.
import { errorRow } from '../core/errors.ts';

/** What an envelope is made of; a `BeamlineError` is one. */
export interface ErrorFacts {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** The JSON body of a failed request, and of the last event of a failed stream. */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly request_id: string;
  };
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

const RENAMED: Readonly<Record<string, { readonly code: string; readonly type?: string }>> = {
  unauthorized: { code: 'invalid_api_key' },
  budget_exceeded: { code: 'insufficient_quota', type: 'insufficient_quota' },
  content_blocked: { code: 'content_filter' },
};

/** The envelope; its status is `errorRow(error.code).http`. */
export function openAiError(error: ErrorFacts, requestId: string): OpenAiErrorBody {
  const row = errorRow(error.code);
  const code = row.as ?? error.code;
  const renamed = Object.hasOwn(RENAMED, code) ? RENAMED[code] : undefined;
  const type = renamed?.type ?? TYPES[row.http] ?? (row.http < 500 ? 'invalid_request_error' : 'server_error');
  return {
    error: {
      message: error.message,
      type,
      param: paramOf(error),
      code: renamed?.code ?? code,
      request_id: requestId,
    },
  };
}

/** The parameter at fault: named, or the path of the first bad field. */
function paramOf({ code, details }: ErrorFacts): string | null {
  const { param, fields } = details as { param?: unknown; fields?: unknown };
  if (typeof param === 'string') return param;
  const first: unknown = Array.isArray(fields) ? fields[0] : undefined;
  const path = typeof first === 'object' && first !== null && 'path' in first ? first.path : undefined;
  if (typeof path === 'string') return path;
  return code === 'model_not_found' ? 'model' : null;
}
