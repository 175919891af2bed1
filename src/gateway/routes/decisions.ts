// GET /api/v1/routes/decide/{id}: a decision that was made, from the records of the router that made it (gateway 14.1).
import { callerOf } from '../admin-client.ts';
import type { JsonSchema, Route } from '../route.ts';
import type { PolicyNeeds } from './policies.ts';
import { checked } from './policies-request.ts';

const response: JsonSchema = {
  type: 'object',
  required: ['ok', 'request_id', 'tenant_id', 'policy_id', 'policy_revision', 'time_ms', 'attempts', 'context'],
  properties: {
    ok: { const: true },
    decision: { type: 'object' },
    refusal: { type: 'object', required: ['code', 'message'] },
    explanation: { type: 'object' },
    attempts: { type: 'array', items: { type: 'object', required: ['attempt', 'time_ms'] } },
    context: { type: 'object' },
  },
};

export const decisionRoute: Route<PolicyNeeds> = {
  method: 'GET',
  path: '/api/v1/routes/decide/:id',
  release: 'P1',
  access: 'decision:read',
  summary: 'A recorded decision and its explanation, by the id of its request.',
  response,
  errors: ['not_found', 'service_overloaded', 'invalid_reply', 'timeout'],
  async handle(call, { administer }, params) {
    const asked = checked('get_decision', { tenant_id: call.tenantId, request_id: params['id'] });
    const stored = await administer('get_decision', asked, callerOf(call));
    const context = { request_id: call.requestId, trace_id: call.traceId, tenant_id: call.tenantId };
    call.json(200, { ok: true, ...stored, context });
  },
};
