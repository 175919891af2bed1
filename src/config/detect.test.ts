import assert from 'node:assert/strict';
import { test } from 'node:test';
import { detectProviders } from './detect.ts';
import { readConfig } from './read.ts';

const found = (env: Record<string, string>) =>
  detectProviders(env).map(({ id, base_url, keys }) => [id, base_url, keys?.[0]?.secret]);

const cases: readonly (readonly [what: string, env: Record<string, string>, expected: readonly unknown[]])[] = [
  ['an OpenAI key', { OPENAI_API_KEY: 'x' }, [['openai', 'https://api.openai.com/v1', 'env:OPENAI_API_KEY']]],
  [
    'an OpenAI key and an address',
    { OPENAI_API_KEY: 'x', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' },
    [['openai', 'http://127.0.0.1:1/v1', 'env:OPENAI_API_KEY']],
  ],
  [
    'an address without a key',
    { OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' },
    [['openai', 'http://127.0.0.1:1/v1', undefined]],
  ],
  [
    'several keys',
    { GROQ_API_KEY: 'x', ANTHROPIC_API_KEY: 'y' },
    [
      ['anthropic', 'https://api.anthropic.com/v1', 'env:ANTHROPIC_API_KEY'],
      ['groq', 'https://api.groq.com/openai/v1', 'env:GROQ_API_KEY'],
    ],
  ],
  ['an Ollama host', { OLLAMA_HOST: 'box' }, [['ollama', 'http://box:11434/v1', undefined]]],
  [
    'an Ollama host that is bound to all addresses',
    { OLLAMA_HOST: '0.0.0.0:80' },
    [['ollama', 'http://127.0.0.1/v1', undefined]],
  ],
  ['an Ollama address', { OLLAMA_HOST: 'http://box:99/' }, [['ollama', 'http://box:99/v1', undefined]]],
  ['a secure Ollama address', { OLLAMA_HOST: 'https://box' }, [['ollama', 'https://box/v1', undefined]]],
  ['nothing', {}, [['sim', undefined, undefined]]],
  ['an empty key', { OPENAI_API_KEY: '' }, [['sim', undefined, undefined]]],
];

for (const [what, env, expected] of cases) {
  test(`${what} in the environment is found as providers`, () => assert.deepEqual(found(env), expected));
}

test('what is found is valid configuration, and no secret is copied into it', () => {
  const env = Object.fromEntries(
    ['OPENAI', 'ANTHROPIC', 'GROQ', 'MISTRAL', 'OPENROUTER', 'DEEPSEEK', 'GEMINI'].map((name) => [
      `${name}_API_KEY`,
      'top-secret',
    ]),
  );
  const { config } = readConfig({
    env: {},
    defaults: { 'providers.list': detectProviders({ ...env, OLLAMA_HOST: 'box' }) },
  });
  assert.equal(config.providers.list.length, 8);
  assert.ok(!JSON.stringify(config).includes('top-secret'));
});

test('the simulated provider serves two priced models', () => {
  const { config } = readConfig({ env: {}, defaults: { 'providers.list': detectProviders({}) } });
  const [sim] = config.providers.list;
  assert.deepEqual(Object.keys(sim?.models ?? {}), ['sim-small', 'sim-large']);
  assert.ok(Object.values(sim?.models ?? {}).every(({ price }) => price !== undefined && price.output > price.input));
});
