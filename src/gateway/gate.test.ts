import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError } from '../core/errors.ts';
import { CHAT, endFrame, openEdge, SETTINGS } from './edge-fixture.ts';
import { errorOfReply } from './bus-error.ts';

const models = (url: string, headers: Record<string, string>): Promise<number> =>
  fetch(`${url}/v1/models`, { headers }).then(({ status }) => status);

test('bad credentials from one address become 429; a good one from there passes', async () => {
  const settings = { ...SETTINGS, auth: { failures_per_minute: 2 } };
  await using edge = await openEdge({ settings });
  const bad = { authorization: `Bearer ${edge.key.slice(0, -1)}x` };
  for (let i = 0; i < 3; i++) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    assert.equal(await models(edge.url, {}), 401, 'one that is not sent is no guess');
  }
  const statuses = [await models(edge.url, bad), await models(edge.url, bad), await models(edge.url, bad)];
  assert.deepEqual(statuses, [401, 401, 429]);
  const refused = await fetch(`${edge.url}/v1/models`, { headers: bad });
  assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  assert.equal(await models(edge.url, edge.headers), 200);
});

test('a key that may be used elsewhere is forbidden here', async () => {
  await using elsewhere = await openEdge({ ipAllow: ['192.0.2.0/24'] });
  assert.equal(await models(elsewhere.url, elsewhere.headers), 403);
  await using here = await openEdge({ ipAllow: ['192.0.2.0/24', '127.0.0.0/8'] });
  assert.equal(await models(here.url, here.headers), 200);
});

test('a code that nobody knows is internal, counted, and in the log', async () => {
  const error = errorOfReply({ error: { code: 'a_code_of_tomorrow', message: 'no', retryable: false } });
  const failures = [error, new BeamlineError('provider_error', 'known')];
  await using edge = await openEdge({
    script: ({ reader }) => {
      const next = failures.shift();
      return next === undefined ? reader.end(endFrame('{}')) : reader.fail(next);
    },
  });
  const ask = () =>
    fetch(`${edge.url}/v1/chat/completions`, { method: 'POST', headers: edge.headers, body: JSON.stringify(CHAT) });
  const statuses = [(await ask()).status, (await ask()).status, (await ask()).status];
  assert.deepEqual(statuses, [500, 502, 200]);
  assert.match(edge.metrics.render(), /gateway_unmapped_errors_total\{origin="router"\} 1/);
  assert.match(edge.lines.join('\n'), /"detail_code":"a_code_of_tomorrow"/);
});
