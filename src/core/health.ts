// What a part of the system tells of itself: checks, from memory, and the documents that are made of them (gateway 16).

/** `warn`: it works, and somebody should look. */
export interface Check {
  readonly status: 'ok' | 'warn' | 'fail';
  /** Why it is not `ok`; without addresses, tenants or secrets, since anybody may read it. */
  readonly message?: string;
}

export type Checks = Readonly<Record<string, Check>>;

const OK: Check = { status: 'ok' };

/** `fail` with the message unless it holds. */
export const mustHold = (holds: boolean, message: string): Check => (holds ? OK : { status: 'fail', message });
/** `warn` with the message unless it holds. */
export const shouldHold = (holds: boolean, message: string): Check => (holds ? OK : { status: 'warn', message });

/** The worst of all as one check, which names those that are not `ok`. */
export function summaryOf(checks: Checks): Check {
  const status = worstOf(checks);
  const told = Object.entries(checks).filter(([, check]) => check.status !== 'ok');
  if (status === 'ok') return OK;
  return { status, message: told.map(([name, { message = 'fail' }]) => `${name}: ${message}`).join('; ') };
}

/** The pages of health, with the names that other products gave them. */
export const HEALTH_PATHS = {
  live: ['/livez', '/healthz', '/health/live', '/health/liveness', '/health/liveliness'],
  ready: ['/readyz', '/_readyz', '/ready', '/health/ready', '/health/readiness'],
  health: ['/health', '/_health'],
} as const;

const WORDS = {
  ready: { ok: 'ready', warn: 'ready', fail: 'not_ready' },
  health: { ok: 'healthy', warn: 'degraded', fail: 'unhealthy' },
} as const;

export interface HealthDocument {
  readonly status: string;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly checks: Checks;
}

/** A page and its HTTP status: 503 where a check fails. */
export function healthPage(
  page: keyof typeof WORDS,
  checks: Checks,
  epochMs: number,
): { readonly http: 200 | 503; readonly document: HealthDocument } {
  const worst = worstOf(checks);
  const document = { status: WORDS[page][worst], timestamp: new Date(epochMs).toISOString(), checks };
  return { http: worst === 'fail' ? 503 : 200, document };
}

function worstOf(checks: Checks): Check['status'] {
  const states = new Set(Object.values(checks).map(({ status }) => status));
  return states.has('fail') ? 'fail' : states.has('warn') ? 'warn' : 'ok';
}
