// Liveness, readiness and the health document, with the names that other gateways gave them (gateway 16).
// Answered from state in memory, without asking anybody.
import type { BusState } from '../../bus/bus.ts';
import type { Call } from '../call.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Exchanges } from '../order.ts';
import type { BodyLimits } from '../read-body.ts';
import type { Route } from '../route.ts';
import type { GatewaySettings } from '../settings.ts';

interface HealthNeeds {
  readonly settings: GatewaySettings;
  readonly lifecycle: Lifecycle;
  readonly exchanges: Exchanges;
  readonly busState: () => BusState;
  readonly bodyLimits: { readonly inference: BodyLimits; readonly native: BodyLimits };
}

interface Check {
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message?: string;
}

const checkSchema = {
  type: 'object',
  properties: { status: { enum: ['ok', 'warn', 'fail'] }, message: { type: 'string' } },
};
const documentSchema = {
  type: 'object',
  required: ['status', 'timestamp', 'checks'],
  properties: {
    status: { type: 'string' },
    timestamp: { type: 'string', format: 'date-time' },
    checks: { type: 'object', additionalProperties: checkSchema },
  },
};

const checksOf = ({ busState, lifecycle, exchanges, settings }: HealthNeeds): Readonly<Record<string, Check>> => ({
  bus: busState() === 'connected' ? { status: 'ok' } : { status: 'fail', message: busState() },
  accepting: lifecycle.phase === 'serving' ? { status: 'ok' } : { status: 'fail', message: lifecycle.phase },
  backpressure:
    exchanges.active < settings.backpressure.max_in_flight
      ? { status: 'ok', message: 'normal' }
      : { status: 'warn', message: 'active' },
});

interface Words {
  readonly good: string;
  readonly middling: string;
  readonly bad: string;
}

function report(call: Call, needs: HealthNeeds, words: Words, more?: object): void {
  const checks = checksOf(needs);
  const states = new Set(Object.values(checks).map(({ status }) => status));
  const status = states.has('fail') ? words.bad : states.has('warn') ? words.middling : words.good;
  const timestamp = new Date(call.edge.timers.clock.epochMs()).toISOString();
  call.json(status === words.bad ? 503 : 200, { status, timestamp, checks, ...more });
}

const probe = (paths: readonly string[], of: Pick<Route<HealthNeeds>, 'summary' | 'response' | 'handle'>) =>
  paths.map((path): Route<HealthNeeds> => ({
    method: 'GET',
    path,
    release: 'P1',
    access: 'public',
    errors: ['unavailable'],
    summary: of.summary,
    response: of.response ?? documentSchema,
    handle: of.handle,
  }));

export const healthRoutes: readonly Route<HealthNeeds>[] = [
  ...probe(['/livez', '/healthz', '/health/live', '/health/liveness', '/health/liveliness'], {
    summary: 'Whether the process turns.',
    response: { type: 'object', required: ['status'], properties: { status: { const: 'ok' } } },
    handle: (call) => call.json(200, { status: 'ok' }),
  }),
  ...probe(['/readyz', '/_readyz', '/ready', '/health/ready', '/health/readiness'], {
    summary: 'Whether requests may be sent here.',
    handle(call, needs) {
      const { inference, native } = needs.bodyLimits;
      const more = { body_limit: { inference: inference.bytesMax, native: native.bytesMax } };
      report(call, needs, { good: 'ready', middling: 'ready', bad: 'not_ready' }, more);
    },
  }),
  ...probe(['/health', '/_health'], {
    summary: 'The state of what the gateway depends on.',
    handle: (call, needs) => report(call, needs, { good: 'healthy', middling: 'degraded', bad: 'unhealthy' }),
  }),
];
