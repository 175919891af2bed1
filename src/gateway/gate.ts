// Who calls, for which tenant, and whether the role may: stages 4 and 5 of the pipeline (gateway 3, 4).
// Reads headers only, so a caller who is refused has no body read.
import type { Authenticator } from '../auth/principal.ts';
import { requirePermission } from '../auth/roles.ts';
import { selectTenant } from '../auth/tenant.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Call } from './call.ts';
import type { EdgeMetrics } from './edge-metrics.ts';
import { tenantHeader } from './order-headers.ts';
import type { Route } from './route.ts';

export class Gate {
  readonly #authenticator: Authenticator;
  readonly #accepted: Counter;
  readonly #refused: Counter;

  constructor(authenticator: Authenticator, metrics: EdgeMetrics) {
    this.#authenticator = authenticator;
    this.#accepted = metrics.auth.of('api_key', 'accepted');
    this.#refused = metrics.auth.of('api_key', 'refused');
  }

  /** Throws `unauthorized`, `unavailable`, `tenant_required` or `forbidden`. */
  admit(call: Call, { access }: Pick<Route, 'access'>): void {
    if (access === 'public') return;
    const principal = this.#principal(call);
    call.principal = principal;
    if (access === 'key') return;
    call.tenantId = selectTenant(principal, tenantHeader(call.req.headers));
    if (access !== 'tenant') requirePermission(principal, access);
  }

  #principal(call: Call): ReturnType<Authenticator['authenticate']> {
    try {
      const principal = this.#authenticator.authenticate(
        call.header('authorization'),
        call.header('x-api-key'),
        call.header('api-key'),
      );
      this.#accepted.add();
      return principal;
    } catch (fault) {
      this.#refused.add();
      throw BeamlineError.from(fault);
    }
  }
}
