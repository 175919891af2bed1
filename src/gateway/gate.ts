// Who calls, for which tenant, and whether the role may: stages 4 and 5 of the pipeline (gateway 3, 4).
// Reads headers only, so a caller who is refused has no body read.
import { Guesses } from '../auth/guesses.ts';
import type { Authenticator, Principal } from '../auth/principal.ts';
import { requirePermission } from '../auth/roles.ts';
import { selectTenant } from '../auth/tenant.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Call } from './call.ts';
import type { EdgeMetrics } from './edge-metrics.ts';
import { tenantHeader } from './order-headers.ts';
import type { PathParams, Route } from './route.ts';

export class Gate {
  readonly #authenticator: Authenticator;
  readonly #accepted: Counter;
  readonly #refused: Counter;
  readonly #guesses: Guesses;

  constructor(authenticator: Authenticator, metrics: EdgeMetrics, failuresPerMinute: number) {
    this.#authenticator = authenticator;
    this.#guesses = new Guesses(failuresPerMinute);
    this.#accepted = metrics.auth.of('api_key', 'accepted');
    this.#refused = metrics.auth.of('api_key', 'refused');
  }

  /** Throws `unauthorized`, `rate_limit_exceeded`, `unavailable`, `tenant_required`, `forbidden`, or `policy_not_found` for a foreign path. */
  admit(call: Call, { access, tenantIn }: Pick<Route, 'access' | 'tenantIn'>, params: PathParams = {}): void {
    if (access === 'public') return;
    const principal = this.#principal(call);
    call.principal = principal;
    if (access === 'key') return;
    if (tenantIn !== 'none') {
      const header = tenantHeader(call.req.headers);
      call.tenantId =
        tenantIn === undefined ? selectTenant(principal, header) : tenantOfPath(principal, params['tenant'], header);
    }
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
      if (principal.allowsAddress?.(addressOf(call)) === false) {
        throw new BeamlineError('forbidden', 'The key may not be used from this address.');
      }
      return principal;
    } catch (fault) {
      const error = BeamlineError.from(fault);
      if (error.code !== 'forbidden') this.#refused.add();
      throw error.code === 'unauthorized' ? this.#guessed(call, error) : error;
    }
  }

  /** What is answered to a bad credential; one that was not sent is no guess. */
  #guessed(call: Call, error: BeamlineError): BeamlineError {
    const { headers } = call.req;
    const isSent = (headers.authorization ?? headers['x-api-key'] ?? headers['api-key']) !== undefined;
    const waitMs = isSent ? this.#guesses.failed(addressOf(call), call.edge.timers.clock.nowMs()) : 0;
    if (waitMs === 0) return error;
    return new BeamlineError('rate_limit_exceeded', 'Too many bad credentials came from this address.', {
      retryAfterMs: waitMs,
      details: { scope: 'ip' },
    });
  }
}

const addressOf = ({ req }: Call): string => req.socket.remoteAddress ?? '';

/** What belongs to another tenant is not there, for whoever asks (gateway 4.2). */
function tenantOfPath({ tenants }: Principal, tenant: string | undefined, header: string | undefined): string {
  if (tenant === undefined || !tenants.includes(tenant)) {
    throw new BeamlineError('policy_not_found', 'the tenant has no such policy');
  }
  if (header === undefined || header === tenant) return tenant;
  throw new BeamlineError('forbidden', 'The path and x-tenant-id name different tenants.');
}
