// What callers and providers do wrong, through the whole product: a stable code and status, never a 500, no secret told.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { dataOf } from '../events.ts';
import { FAILING_TENANTS, MODES, type Stack, startStack } from '../stack.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly requestId: string | null;
}

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'hello' }];
const good = JSON.stringify({ model: 'test-chat', messages });

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

const BAD: readonly (readonly [name: string, sent: Sent, status: number, code: string])[] = [
  ['malformed JSON', { body: '{"model":' }, 400, 'invalid_request'],
  ['a wrong type', { body: '{"model":["test-chat"],"messages":[]}' }, 400, 'invalid_request'],
  ['a __proto__ key', { body: '{"__proto__":{},"model":"test-chat","messages":[]}' }, 400, 'invalid_request'],
  ['JSON that is too deep', { body: `{"messages":${'['.repeat(80)}${']'.repeat(80)}}` }, 400, 'invalid_request'],
  ['invalid UTF-8', { body: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]) }, 400, 'invalid_request'],
  ['a body that is too large', { body: ' '.repeat(9_000_000) }, 413, 'request_too_large'],
  ['a wrong content type', { headers: { 'content-type': 'text/plain' } }, 415, 'unsupported_media_type'],
  ['no key', { headers: { authorization: '' } }, 401, 'invalid_api_key'],
  ['a wrong key', { headers: { authorization: 'Bearer blk_test_00000000' } }, 401, 'invalid_api_key'],
  ['an unknown model', { body: JSON.stringify({ model: 'oak', messages }) }, 404, 'model_not_found'],
  ['an unknown policy', { headers: { 'x-beamline-policy': 'oak' } }, 404, 'policy_not_found'],
  ['an unknown path', { path: '/v1/oak' }, 404, 'not_found'],
  ['a wrong method', { method: 'DELETE' }, 405, 'method_not_allowed'],
  ['a route that is not built', { path: '/v1/completions' }, 501, 'not_implemented'],
];

type Ending = readonly [status: number, code: string];

// Model, what a stream becomes (an answer with a status, or an error event after its head), and what a whole answer.
const FAILING: readonly (readonly [model: string, stream: Ending, whole?: Ending])[] = [
  ['test-400', [400, 'invalid_request'], [400, 'invalid_request']],
  ['test-401', [502, 'provider_credentials'], [502, 'provider_credentials']],
  ['test-429', [503, 'provider_rate_limited'], [503, 'provider_rate_limited']],
  ['test-500', [503, 'provider_unavailable'], [503, 'provider_unavailable']],
  ['test-huge-event', [500, 'execution_failed']],
  ['test-silent', [200, 'timeout'], [504, 'timeout']],
  ['test-stall', [200, 'timeout']],
  ['test-truncate', [200, 'provider_protocol_error']],
  ['test-garbage', [200, 'provider_protocol_error']],
  ['test-reset', [200, 'provider_error']],
];

for (const mode of MODES) {
  void describe(mode, { concurrency: true }, () => {
    let stack: Stack | undefined;
    const answers: Answer[] = [];

    before(async () => {
      stack = await startStack(mode);
    });
    after(async () => {
      assert.ok(stack);
      await stack[Symbol.asyncDispose]();
      const secrets = [stack.providerKey, stack.pepper, stack.key, stack.failingKey];
      for (const secret of secrets) {
        assert.equal(stack.output().includes(secret), false, 'a secret was printed');
        assert.equal(
          answers.some(({ text }) => text.includes(secret)),
          false,
          'a secret was answered',
        );
      }
    });

    const send = async ({ method = 'POST', path = CHAT, headers = {}, body = good }: Sent): Promise<Answer> => {
      assert.ok(stack);
      const response = await fetch(`${stack.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${stack.key}`, 'content-type': 'application/json', ...headers },
        body,
      });
      const answer = {
        status: response.status,
        text: await response.text(),
        requestId: response.headers.get('x-beamline-request-id'),
      };
      answers.push(answer);
      return answer;
    };

    // The edge is the same code in both modes; what lies behind it is not.
    if (mode === 'embedded') {
      for (const [name, sent, status, code] of BAD) {
        test(`${name} is answered ${status} ${code}`, async () => {
          const answer = await send(sent);
          const { error } = JSON.parse(answer.text) as { error: Record<string, unknown> };
          assert.deepEqual([answer.status, error['code'], error['request_id']], [status, code, answer.requestId]);
        });
      }
    }

    let tenants = 0;
    const fail = async (body: object): Promise<Answer> => {
      const tenant = FAILING_TENANTS[tenants++];
      assert.ok(stack && tenant !== undefined);
      const headers = { authorization: `Bearer ${stack.failingKey}`, 'x-tenant-id': tenant };
      return send({ headers, body: JSON.stringify({ ...body, messages }) });
    };

    for (const [model, [status, code], whole] of FAILING) {
      if (whole !== undefined) {
        test(`${model} is answered ${whole.join(' ')}`, async () => {
          const answer = await fail({ model: `alder/${model}` });
          const { error } = JSON.parse(answer.text) as { error: { code: string } };
          assert.deepEqual([answer.status, error.code], whole);
        });
      }

      test(`${model} streamed is answered ${status} ${code}, once, and never [DONE]`, async () => {
        const answer = await fail({ model: `alder/${model}`, stream: true });
        assert.equal(answer.status, status);
        const bodies = status === 200 ? dataOf(answer.text) : [answer.text];
        assert.ok(!bodies.includes('[DONE]'));
        const errors = bodies.flatMap((body, index) => {
          const { error } = JSON.parse(body) as { error?: { code: string } };
          return error === undefined ? [] : [{ code: error.code, isLast: index === bodies.length - 1 }];
        });
        assert.deepEqual(errors, [{ code, isLast: true }]);
      });
    }
  });
}
