// POST /api/v1/policies/{tenant}/{policy}/replay: what another document would have made of the requests that were (gateway 14.2).
import { callerOf } from '../admin-client.ts';
import { readJson } from '../read-body.ts';
import type { Route } from '../route.ts';
import type { PolicyNeeds } from './policies.ts';
import { checked, invalidField, keyIn } from './policies-request.ts';

export const policyReplay: Route<PolicyNeeds> = {
  method: 'POST',
  path: '/api/v1/policies/:tenant/:policy/replay',
  release: 'P1',
  access: 'policy:simulate',
  tenantIn: 'path',
  summary: 'Decide recorded requests again by another document, and tell what would change.',
  request: {
    type: 'object',
    properties: {
      document: { type: 'object' },
      revision: { type: 'integer', minimum: 0 },
      since: { type: ['integer', 'string'] },
      until: { type: ['integer', 'string'] },
      filter: { type: ['string', 'object'] },
      limit: { type: 'integer', minimum: 1, maximum: 5_000 },
    },
  },
  response: {
    type: 'object',
    required: ['records', 'mismatch', 'changed', 'totals', 'shares', 'first_changes', 'is_complete'],
  },
  errors: ['policy_not_found', 'not_found', 'validation_failed', 'service_overloaded', 'timeout'],
  async handle(call, { administer, bodyLimits }, params) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const asked: Record<string, unknown> = keyIn(call, params['policy']);
    if (body['document'] !== undefined) asked['policy'] = body['document'];
    for (const name of ['revision', 'filter', 'limit']) if (body[name] !== undefined) asked[name] = body[name];
    for (const [name, to] of [
      ['since', 'from_ms'],
      ['until', 'to_ms'],
    ] as const)
      if (body[name] !== undefined) asked[to] = momentIn(name, body[name]);
    call.json(200, await administer('replay', checked('replay', asked), callerOf(call)));
  },
};

/** Milliseconds since 1970, or a date as ISO 8601 writes it. */
function momentIn(name: string, value: unknown): number {
  const ms = typeof value === 'string' ? Date.parse(value) : value;
  if (typeof ms === 'number' && Number.isInteger(ms) && ms >= 0) return ms;
  throw invalidField(name, 'must be milliseconds since 1970, or a date');
}
