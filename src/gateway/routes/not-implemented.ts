// Paths of the API that are promised and not built: they answer 501 to a caller with a key (gateway 13.1, 14).
// The list shrinks: whoever builds a path takes its row out of here.
import { BeamlineError } from '../../core/errors.ts';
import type { Method, Route } from '../route.ts';

type Row = readonly [methods: string, path: string, permission: string, release?: 'P2'];

const INFERENCE: readonly Row[] = [
  ['POST', '/v1/completions', 'inference:call'],
  ['POST', '/v1/responses', 'inference:call'],
  ['GET DELETE', '/v1/responses/:id', 'inference:call'],
  ['POST', '/v1/responses/:id/cancel', 'inference:call'],
  ['POST GET', '/v1/files', 'inference:call'],
  ['GET DELETE', '/v1/files/:id', 'inference:call'],
  ['GET', '/v1/files/:id/content', 'inference:call'],
  ['POST GET', '/v1/batches', 'inference:call'],
  ['GET', '/v1/batches/:id', 'inference:call'],
  ['POST', '/v1/batches/:id/cancel', 'inference:call'],
  ['POST', '/v1/messages', 'inference:call'],
  ['POST', '/v1/messages/count_tokens', 'inference:call'],
  ['GET', '/v1/responses/:id/input_items', 'inference:call', 'P2'],
  ['POST', '/v1/responses/input_tokens', 'inference:call', 'P2'],
  ['POST', '/v1/responses/compact', 'inference:call', 'P2'],
  ['POST GET', '/v1/messages/batches', 'inference:call', 'P2'],
  ['POST', '/v1/images/generations', 'inference:call', 'P2'],
  ['POST', '/v1/images/edits', 'inference:call', 'P2'],
  ['POST', '/v1/audio/speech', 'inference:call', 'P2'],
  ['POST', '/v1/audio/transcriptions', 'inference:call', 'P2'],
  ['POST', '/v1/audio/translations', 'inference:call', 'P2'],
  ['POST', '/v1/moderations', 'inference:call', 'P2'],
  ['POST', '/v1/rerank', 'inference:call', 'P2'],
  ['GET', '/v1/realtime', 'inference:call', 'P2'],
  ['GET POST DELETE', '/mcp', 'inference:call', 'P2'],
];

/** Below `/api/v1`. */
const NATIVE: readonly Row[] = [
  ['GET', '/requests', 'request:read'],
  ['GET', '/requests/:id', 'request:read'],
  ['GET', '/messages/stream', 'job:read'],
  ['GET', '/results/stream', 'job:read'],
  ['GET', '/streams/:id', 'request:read', 'P2'],
  ['GET', '/aliases', 'policy:read'],
  ['GET', '/aliases/:name', 'policy:read'],
  ['PUT DELETE', '/aliases/:name', 'policy:write'],
  ['GET', '/providers', 'provider:read'],
  ['GET', '/providers/:id', 'provider:read'],
  ['POST', '/providers/:id/test', 'provider:test'],
  ['POST', '/providers', 'provider:write', 'P2'],
  ['PUT DELETE', '/providers/:id', 'provider:write', 'P2'],
  ['GET', '/registry/blocks', 'block:read'],
  ['POST', '/registry/blocks', 'block:write'],
  ['GET', '/registry/blocks/:type', 'block:read'],
  ['PUT DELETE', '/registry/blocks/:type/:version', 'block:write'],
  ['POST', '/flows/validate', 'flow:simulate'],
  ['POST', '/flows/dry-run', 'flow:simulate'],
  ['GET', '/flows', 'flow:read', 'P2'],
  ['POST', '/flows', 'flow:write', 'P2'],
  ['GET', '/flows/:id', 'flow:read', 'P2'],
  ['PUT DELETE', '/flows/:id', 'flow:write', 'P2'],
  ['POST', '/flows/:id/run', 'flow:run', 'P2'],
  ['GET', '/runs', 'flow:read', 'P2'],
  ['GET', '/runs/:id', 'flow:read', 'P2'],
  ['GET', '/runs/:id/events', 'flow:read', 'P2'],
  ['POST', '/runs/:id/cancel', 'flow:run', 'P2'],
  ['GET', '/usage/reconciliation', 'usage:read', 'P2'],
  ['POST', '/usage/reports', 'usage:read', 'P2'],
  ['GET', '/keys', 'key:read'],
  ['POST', '/keys', 'key:write'],
  ['GET', '/keys/:id', 'key:read'],
  ['PATCH DELETE', '/keys/:id', 'key:write'],
  ['POST', '/keys/:id/rotate', 'key:write'],
  ['POST', '/webhooks', 'webhook:write'],
  ['DELETE', '/webhooks/:id', 'webhook:write'],
  ['POST', '/webhooks/:id/rotate', 'webhook:write'],
  ['POST', '/webhooks/:id/test', 'webhook:write'],
  ['GET', '/events', 'system:read'],
  ['GET', '/system/summary', 'system:read'],
  ['GET', '/workers', 'system:read'],
  ['GET', '/system/metrics/history', 'system:read', 'P2'],
  ['GET', '/system/alerts', 'system:read', 'P2'],
  ['GET', '/audit/verify', 'audit:read', 'P2'],
  ['GET', '/audit', 'audit:read'],
  ['GET POST', '/admin/tenants', 'admin:tenants'],
  ['GET PATCH', '/admin/tenants/:id', 'admin:tenants'],
  ['GET', '/admin/status', 'admin:configuration'],
  ['GET', '/admin/config', 'admin:configuration'],
  ['PATCH', '/admin/config', 'admin:configuration', 'P2'],
  ['GET', '/admin/rate-limit/usage', 'admin:limits'],
  ['GET POST', '/admin/rate-limit/overrides', 'admin:limits'],
  ['DELETE', '/admin/rate-limit/overrides/:id', 'admin:limits'],
  ['GET DELETE', '/admin/abuse/blocks', 'admin:abuse'],
  ['GET', '/admin/abuse/events', 'admin:abuse'],
];

const routesOf = (prefix: string, rows: readonly Row[]): readonly Route[] =>
  rows.flatMap(([methods, path, permission, release]) =>
    methods.split(' ').map((method): Route => ({
      method: method as Method,
      path: `${prefix}${path}`,
      release: release ?? 'P1',
      access: 'key',
      permission,
      summary: 'Not served yet.',
      errors: ['not_implemented'],
      handle() {
        throw new BeamlineError('not_implemented', 'This path is not served yet.');
      },
    })),
  );

export const notImplemented: readonly Route[] = [...routesOf('', INFERENCE), ...routesOf('/api/v1', NATIVE)];
