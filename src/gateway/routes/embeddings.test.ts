import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError } from '../../core/errors.ts';
import { type EdgeOptions, endFrame, openEdge, type Ordered, SETTINGS } from '../edge-fixture.ts';

async function ask(options: EdgeOptions, body: object, headers: Readonly<Record<string, string>> = {}) {
  await using edge = await openEdge(options);
  const response = await fetch(`${edge.url}/v1/embeddings`, {
    method: 'POST',
    headers: { ...edge.headers, ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return { response, text, order: edge.orders[0]?.order };
}

const BODY = { model: 'tall', input: ['a lake', 'a river'], encoding_format: 'base64', user: 'someone' };

test('the list of the provider is written through, with how it was routed', async () => {
  const script = ({ reader }: Ordered): void => reader.end(endFrame('{"object": "list", "odd":1}'));
  const { response, text, order } = await ask({ script }, BODY, { 'x-beamline-provider': 'birch' });
  assert.deepEqual([response.status, text], [200, '{"object": "list", "odd":1}']);
  assert.equal(response.headers.get('x-beamline-provider'), 'birch');
  assert.deepEqual(
    [order?.taskType, order?.dialect, order?.stream, order?.userId, order?.outputTokensMax, order?.providersAllow],
    ['ai.embed', 'openai.embeddings', false, 'someone', 0, ['birch']],
  );
  assert.deepEqual(order?.body, BODY);
});

const errorOf = (text: string) => (JSON.parse(text) as { error: { code: string; param: string | null } }).error;

test('what is wrong with a request is named as for chat', async () => {
  const bad = await ask({}, { model: 'tall', input: [] });
  assert.deepEqual([bad.response.status, errorOf(bad.text).param], [400, 'input']);
  const unknown = await ask({}, { ...BODY, model: 'oak' });
  assert.deepEqual([unknown.response.status, errorOf(unknown.text).code], [404, 'model_not_found']);
  const narrow = await ask({ models: ['other'] }, BODY);
  assert.deepEqual([narrow.response.status, errorOf(narrow.text).code], [404, 'model_not_found']);
  const full = await ask(
    { settings: { ...SETTINGS, backpressure: { ...SETTINGS.backpressure, max_in_flight: 0 } } },
    BODY,
  );
  assert.deepEqual([full.response.status, errorOf(full.text).code], [503, 'service_overloaded']);
  const script = ({ reader }: Ordered): void => reader.fail(new BeamlineError('provider_unavailable', 'down'));
  const down = await ask({ script }, BODY);
  assert.deepEqual([down.response.status, errorOf(down.text).code], [503, 'provider_unavailable']);
});
