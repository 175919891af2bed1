import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import Ajv2020 from 'ajv/dist/2020.js';
import { decode, encode } from './codec.ts';
import { CONTRACTS, emitSchema, PAYLOADS } from './registry.ts';

// The examples of the wire law; each must pass our validator and the schema that we emit.
const EXAMPLES = globSync('contracts/examples/*/*.json').map((path) => ({
  schema: basename(dirname(path)),
  name: basename(path, '.json'),
  example: JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>,
}));

const nameOf = ({ id, version }: { readonly id: string; readonly version: string }): string => `${id}@${version}`;

test('every payload has an example, and every example a payload', () => {
  assert.deepEqual([...new Set(EXAMPLES.map(({ schema }) => schema))].toSorted(), PAYLOADS.map(nameOf).toSorted());
});

for (const { schema, name: which, example } of EXAMPLES) {
  const payload = PAYLOADS.find((each) => nameOf(each) === schema);
  if (payload === undefined) continue;

  test(`${schema} accepts its example ${which}, and so does the emitted schema`, () => {
    assert.equal(payload.check(example), true, payload.fault(example));
    const validate = new Ajv2020.Ajv2020({ strict: false }).compile(JSON.parse(emitSchema(payload)) as object);
    assert.equal(validate(example), true, JSON.stringify(validate.errors));
    assert.deepEqual(decode(payload, encode(payload, example)), example);
  });

  test(`${schema} (${which}) ignores unknown fields and refuses a missing required one`, () => {
    assert.equal(payload.check({ ...example, a_field_of_tomorrow: true }), true);
    const { required, anyOf } = payload.schema as { required?: readonly string[]; anyOf?: unknown };
    for (const name of required ?? (anyOf === undefined ? [] : ['type'])) {
      const { [name]: _, ...rest } = example;
      assert.equal(payload.check(rest), false, name);
    }
  });
}

const UNREADABLE: readonly (readonly [string, Uint8Array, string])[] = [
  ['not JSON', Buffer.from('{'), 'syntax'],
  ['not UTF-8', Buffer.from([0xff, 0xfe]), 'invalid_utf8'],
  ['too deep', Buffer.from('['.repeat(65) + ']'.repeat(65)), 'depth'],
  ['too large', Buffer.alloc(720_001, 0x20), 'size'],
  ['another shape', Buffer.from('{"version":"9"}'), 'schema'],
];

for (const [what, bytes, reason] of UNREADABLE) {
  test(`a message that is ${what} does not enter`, () => {
    const [payload] = PAYLOADS;
    assert.ok(payload);
    assert.throws(() => decode(payload, bytes), { code: 'invalid_request', details: { reason } });
  });
}

test('an invalid message does not leave', () => {
  const [payload] = PAYLOADS;
  assert.ok(payload);
  assert.throws(() => encode(payload, { version: '1' }), { code: 'internal' });
});

// What carries a template and a class is a contract, whatever its name.
const isContract = (value: unknown): value is { readonly template: string } =>
  typeof value === 'object' && value !== null && 'template' in value && 'class' in value && 'headers' in value;

test('every contract that a module exports is in the list', async () => {
  const modules = await Promise.all(
    globSync('src/contracts/*.ts')
      .filter((path) => !path.endsWith('.test.ts'))
      .map((path) => import(join(process.cwd(), path)) as Promise<Readonly<Record<string, unknown>>>),
  );
  const declared = modules.flatMap((module) => Object.values(module)).filter(isContract);
  assert.deepEqual(new Set(declared), new Set(CONTRACTS));
});

test('contracts are made in their folder only, but for tests', () => {
  const makers = globSync('src/*/**/*.ts').filter(
    (path) => !path.startsWith('src/contracts/') && /\b(?:event|request)Contract\b/.test(readFileSync(path, 'utf8')),
  );
  assert.deepEqual(
    makers.filter((path) => !path.endsWith('.test.ts') && !path.startsWith('src/bus/conformance-')),
    [],
  );
});
