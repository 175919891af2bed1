import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicy } from './parse.ts';
import { Findings } from './issue.ts';
import type { ExtensionStage } from './policy.ts';
import { readSettingsSchema } from './settings-schema.ts';

const KEY = { tenantId: 'acme', policyId: 'default', revision: 1, knownProviders: new Set(['alder']) };

const parse = (more: object, known?: ReadonlyMap<string, ExtensionStage>) =>
  parsePolicy(
    { version: '2.0', weights: { alder: 1 }, ...more },
    {
      ...KEY,
      knownExtensions: known && {
        get(id) {
          const type = known.get(id);
          return type === undefined ? type : { type, config: {} };
        },
      },
    },
  );

const faults = (parsed: ReturnType<typeof parse>): readonly string[] =>
  parsed.kind === 'valid' ? [] : parsed.errors.map(({ path, code }) => `${path} ${code}`);

test('items become what the router asks, with the defaults of their stage', () => {
  const parsed = parse({
    pre: [{ id: 'tidy' }, { id: 'redact', mode: 'required', timeout_ms: 200, retry: 2, config: { a: 1 } }],
    validators: [{ id: 'pii_guard' }, { id: 'tone', on_fail: 'warn' }, { id: 'log', on_fail: 'ignore' }],
  });
  assert.ok(parsed.kind === 'valid');
  assert.deepEqual(
    parsed.policy.extensions.map(({ id, stage, onFailure, timeoutMs, retry }) => [
      id,
      stage,
      onFailure,
      timeoutMs,
      retry,
    ]),
    [
      ['tidy', 'pre', 'ignore', undefined, undefined],
      ['redact', 'pre', 'end', 200, 2],
      ['pii_guard', 'validator', 'end', undefined, undefined],
      ['tone', 'validator', 'warn', undefined, undefined],
      ['log', 'validator', 'ignore', undefined, undefined],
    ],
  );
  assert.deepEqual(parsed.policy.extensions[1]?.config, { a: 1 });
});

test('what is wrong with an item is told with its place', () => {
  const known = new Map([
    ['tidy', 'pre'],
    ['guard', 'validator'],
  ] as const);
  assert.deepEqual(faults(parse({ pre: [{ id: 'Tidy!' }] })), ['/pre/0/id pattern']);
  assert.deepEqual(faults(parse({ pre: [{ id: 'tidy' }, { id: 'tidy' }] }, known)), ['/pre/1/id duplicate']);
  assert.deepEqual(faults(parse({ validators: [{ id: 'tidy' }, { id: 'gone' }] }, known)), [
    '/validators/0/id unknown_extension',
  ]);
  assert.deepEqual(faults(parse({ validators: [{ id: 'guard', on_fail: 'explode' }] }, known)).length, 1);
  assert.deepEqual(faults(parse({ pre: Array.from({ length: 6 }, (_, i) => ({ id: `p${i}` })) })), ['/pre too_many']);
});

test('an extension that the configuration lacks may be registered yet: that is a warning', () => {
  const parsed = parse({ validators: [{ id: 'guard' }, { id: 'gone' }] }, new Map([['guard', 'validator']] as const));
  assert.equal(parsed.kind, 'valid');
  assert.deepEqual(
    parsed.warnings.map(({ path, code }) => `${path} ${code}`),
    ['/validators/1/id unknown_extension'],
  );
});

test('one that nobody has is told by its name', () => {
  const [warning] = parsePolicy(
    { version: '2.0', weights: { alder: 1 }, pre: [{ id: 'gone' }] },
    { ...KEY, knownExtensions: { get: () => undefined } },
  ).warnings;
  assert.deepEqual(
    [warning?.code, warning?.message],
    ['unknown_extension', "no extension 'gone' is registered, nor does the configuration have it"],
  );
});

test('settings over those of the registry must fit the schema of the extension', () => {
  const settings = readSettingsSchema(
    { properties: { words: { items: { type: 'string' } }, level: { maximum: 3 } }, required: ['level', 'words'] },
    '',
    new Findings(),
  );
  assert.ok(settings !== undefined);
  const get = () => ({ type: 'pre' as const, config: { level: 9 }, settings });
  const told = (config?: object) =>
    faults(
      parsePolicy(
        { version: '2.0', weights: { alder: 1 }, pre: [{ id: 'tidy', ...(config && { config }) }] },
        { ...KEY, knownExtensions: { get } },
      ),
    );
  assert.deepEqual(told({ words: ['a', 2], level: 3 }), ['/pre/0/config/words/1 invalid_config']);
  assert.deepEqual(told(), ['/pre/0/config/level invalid_config', '/pre/0/config/words invalid_config']);
  assert.deepEqual(told({ words: [], level: 0 }), []);
});

test('a timeout above the bound is lowered with a warning', () => {
  const parsed = parse({ validators: [{ id: 'guard', timeout_ms: 60_000 }] });
  assert.deepEqual(
    parsed.warnings.map(({ path, code }) => `${path} ${code}`),
    ['/validators/0/timeout_ms clamped'],
  );
});

test('an item is asked only where its condition holds', () => {
  const parsed = parse({ validators: [{ id: 'guard', when: { team: 'blue' } }] });
  assert.ok(parsed.kind === 'valid');
  assert.equal(parsed.policy.extensions.length, 1);
});

test('post-processors are kept apart, and a policy without any has none to look at', () => {
  const parsed = parse({
    post: [
      { id: 'redact', mode: 'required', config: { a: 1 } },
      { id: 'tidy', retry: 1 },
    ],
  });
  assert.ok(parsed.kind === 'valid');
  assert.deepEqual(parsed.policy.extensions, []);
  assert.deepEqual(
    parsed.policy.post?.map(({ id, stage, onFailure, config, retry }) => [id, stage, onFailure, config, retry]),
    [
      ['redact', 'post', 'end', { a: 1 }, undefined],
      ['tidy', 'post', 'ignore', {}, 1],
    ],
  );
  const bare = parse({ post: [] });
  assert.ok(bare.kind === 'valid');
  assert.equal(bare.policy.post, undefined);
});

test('an extension of another stage is no post-processor', () => {
  const known = new Map([['tidy', 'pre']] as const);
  assert.deepEqual(faults(parse({ post: [{ id: 'tidy' }] }, known)), ['/post/0/id unknown_extension']);
});

test('a policy has at most ten extensions in all, and the stage that is too much is told', () => {
  const items = (stage: string, count: number) => Array.from({ length: count }, (_, n) => ({ id: `${stage}${n}` }));
  const of = (pre: number, validators: number, post: number) =>
    faults(parse({ pre: items('a', pre), validators: items('b', validators), post: items('c', post) }));
  assert.deepEqual(of(5, 5, 0), []);
  assert.deepEqual(of(4, 3, 3), []);
  assert.deepEqual(of(5, 5, 1), ['/post too_many']);
  assert.deepEqual(of(0, 5, 6).includes('/post too_many'), true);
});
