// GET /api/v1/extensions/health and /circuit-breakers: how the extensions do that a router asked (gateway 14.3).
import { type Administer, callerOf } from '../admin-client.ts';
import type { JsonSchema, Route } from '../route.ts';

interface Needs {
  readonly administer: Administer;
}

const byEndpoint = (name: string, properties: JsonSchema): JsonSchema => ({
  type: 'object',
  required: [name],
  properties: {
    [name]: { type: 'object', additionalProperties: { type: 'object', properties } },
  },
});

export const extensionHealthRoute: Route<Needs> = {
  method: 'GET',
  path: '/api/v1/extensions/health',
  release: 'P1',
  access: 'extension:read',
  summary: 'Tell how extensions do, by version and instance, as the answering router knows them.',
  response: byEndpoint('health', {
    status: { enum: ['healthy', 'degraded', 'unhealthy'] },
    success_rate: { type: 'number' },
    calls: { type: 'integer' },
  }),
  errors: ['invalid_reply', 'timeout'],
  async handle(call, { administer }) {
    const { health } = await administer('get_extension_health', {}, callerOf(call));
    const told = health.map(({ endpoint, status, success_rate, calls }) => [endpoint, { status, success_rate, calls }]);
    call.json(200, { health: Object.fromEntries(told) as Readonly<Record<string, unknown>> });
  },
};

export const extensionBreakersRoute: Route<Needs> = {
  method: 'GET',
  path: '/api/v1/extensions/circuit-breakers',
  release: 'P1',
  access: 'extension:read',
  summary: 'Tell the states of the breakers of extensions, as the answering router knows them.',
  response: byEndpoint('states', { state: { enum: ['closed', 'half_open', 'open'] } }),
  errors: ['invalid_reply', 'timeout'],
  async handle(call, { administer }) {
    const { health } = await administer('get_extension_health', {}, callerOf(call));
    const states = health.map(({ endpoint, breaker }) => [endpoint, { state: breaker }]);
    call.json(200, { states: Object.fromEntries(states) as Readonly<Record<string, unknown>> });
  },
};
