// POST /api/v1/providers/{id}/breaker/reset: closes the breaker of a provider and lets it judge anew (gateway 14.3).
import { type Administer, callerOf } from '../admin-client.ts';
import type { Route } from '../route.ts';
import { invalidField } from './policies-request.ts';

const PROVIDER = /^[a-z0-9][a-z0-9_.:/-]{0,127}$/;

export const breakerResetRoute: Route<{ readonly administer: Administer }> = {
  method: 'POST',
  path: '/api/v1/providers/:id/breaker/reset',
  release: 'P1',
  access: 'breaker:reset',
  summary: 'Close the breaker of a provider and let it judge anew.',
  response: {
    type: 'object',
    required: ['tenant_id', 'provider_id', 'state', 'mode'],
    properties: {
      tenant_id: { type: 'string' },
      provider_id: { type: 'string' },
      state: { enum: ['closed', 'half_open', 'open'] },
      mode: { enum: ['auto', 'force_open', 'force_closed'] },
    },
  },
  errors: ['not_found', 'capacity_exceeded', 'invalid_reply', 'timeout'],
  async handle(call, { administer }, { id = '' }) {
    if (!PROVIDER.test(id)) throw invalidField('id', 'must be the name of a provider');
    const params = { tenant_id: call.tenantId, provider_id: id, mode: 'auto' as const, reset: true };
    const { state } = await administer('set_breaker', params, callerOf(call));
    call.json(200, state);
  },
};
