// Liveness, readiness and the health document, with the names that other gateways gave them (gateway 16).
// Answered from state in memory, without asking anybody.
import type { BusState } from '../../bus/bus.ts';
import { type Checks, HEALTH_PATHS, healthPage, mustHold } from '../../core/health.ts';
import type { Call, Edge } from '../call.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { BodyLimits } from '../read-body.ts';
import type { Route } from '../route.ts';

interface HealthNeeds {
  readonly lifecycle: Lifecycle;
  readonly busState: () => BusState;
  readonly checks?: (() => Checks) | undefined;
  readonly bodyLimits: { readonly inference: BodyLimits; readonly native: BodyLimits };
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

const checksOf = ({ busState, lifecycle, checks }: HealthNeeds, { backpressure }: Edge): Checks => ({
  bus: mustHold(busState() === 'connected', busState()),
  accepting: mustHold(lifecycle.phase === 'serving', lifecycle.phase),
  backpressure: backpressure.check(),
  ...checks?.(),
});

function report(call: Call, needs: HealthNeeds, page: 'ready' | 'health', more?: object): void {
  const { http, document } = healthPage(page, checksOf(needs, call.edge), call.edge.timers.clock.epochMs());
  call.json(http, { ...document, ...more });
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
  ...probe(HEALTH_PATHS.live, {
    summary: 'Whether the process turns.',
    response: { type: 'object', required: ['status'], properties: { status: { const: 'ok' } } },
    handle: (call) => call.json(200, { status: 'ok' }),
  }),
  ...probe(HEALTH_PATHS.ready, {
    summary: 'Whether requests may be sent here.',
    handle(call, needs) {
      const { inference, native } = needs.bodyLimits;
      const more = { body_limit: { inference: inference.bytesMax, native: native.bytesMax } };
      report(call, needs, 'ready', more);
    },
  }),
  ...probe(HEALTH_PATHS.health, {
    summary: 'The state of what the gateway depends on.',
    handle: (call, needs) => report(call, needs, 'health'),
  }),
];
