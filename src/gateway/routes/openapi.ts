// GET /api/openapi.json: the route table as OpenAPI 3.1 (gateway 18).
import type { ServedDocument } from '../openapi.ts';
import type { Route } from '../route.ts';

export const openApiRoute: Route<{ readonly openApi: ServedDocument }> = {
  method: 'GET',
  path: '/api/openapi.json',
  release: 'P1',
  access: 'public',
  summary: 'This document.',
  response: { type: 'object' },
  errors: [],
  handle(call, { openApi: { text, etag } }) {
    if (call.header('if-none-match') === etag) call.send(304, ['etag', etag], '');
    else call.send(200, ['content-type', 'application/json', 'etag', etag], text);
  },
};
