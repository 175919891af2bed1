// Which part of the system an error speaks of: the `error_class` of logs and metrics (gateway 3).
import { type BeamlineError, errorRow } from '../core/errors.ts';

export type ErrorClass = 'rate_limit' | 'auth' | 'request' | 'router_intake' | 'router_runtime' | 'internal';

export function errorClassOf({ code, details }: BeamlineError): ErrorClass {
  if (details['intake_error_code'] !== undefined) return 'router_intake';
  const { http } = errorRow(code);
  if (http === 429) return 'rate_limit';
  if (http === 401 || http === 403) return 'auth';
  if (http < 500 || http === 501) return 'request';
  return http === 500 ? 'internal' : 'router_runtime';
}
