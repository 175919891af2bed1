import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { POLICY_SHAPE } from './document.ts';
import { editorSchema } from './editor-schema.ts';
import { parsePolicy } from './parse.ts';

const validate = new Ajv({ strict: false }).compile(editorSchema(POLICY_SHAPE, 'policy'));
const KEY = { tenantId: 'kestrel', policyId: 'default', revision: 1, knownProviders: new Set<string>() };
const ONE = [{ name: 'alder', weight: 1 }];

// Faults of shape: the schema and the parser agree on them.
const documents: readonly (readonly [what: string, document: unknown, isValid: boolean])[] = [
  ['the least', { version: '1.0', providers: ONE }, true],
  ['the compact form', { version: '2.0', providers: ONE, fallback: { provider: 'alder' } }, true],
  ['a list', [], false],
  ['no version', { providers: ONE }, false],
  ['another format', { version: '3.0', providers: ONE }, false],
  ['an unknown key', { version: '2.0', providers: ONE, provders: ONE }, false],
  ['an unknown key within', { version: '2.0', providers: [{ name: 'alder', weight: 1, wieght: 2 }] }, false],
  ['a weight out of range', { version: '2.0', providers: [{ name: 'alder', weight: 101 }] }, false],
  ['a name with a capital', { version: '2.0', providers: [{ name: 'Alder', weight: 1 }] }, false],
  ['no provider', { version: '2.0', providers: [] }, false],
  ['a strategy that nobody knows', { version: '2.0', providers: ONE, strategy: 'random' }, false],
  ['half an attempt', { version: '2.0', providers: ONE, retry: { max_attempts: 1.5 } }, false],
  ['a key of version 2 in version 2', { version: '2.1', providers: [{ ...ONE[0], pool: 'lab' }] }, true],
  ['a key of version 2 in version 1', { version: '1.1', providers: ONE, timeouts: {} }, false],
  ['a key of version 2 within version 1', { version: '1.1', providers: [{ ...ONE[0], pool: 'lab' }] }, false],
  ['a limit that is off', { version: '2.0', providers: ONE, rate_limit: { enabled: false } }, true],
];

for (const [what, document, isValid] of documents) {
  test(`the editor's schema says of ${what} what the parser says: ${isValid ? 'valid' : 'invalid'}`, () => {
    assert.equal(validate(document), isValid, JSON.stringify(validate.errors));
    assert.equal(parsePolicy(document, KEY).kind, isValid ? 'valid' : 'invalid');
  });
}
