// Every example of a policy is valid, does what its fixtures say, and stands in the guide as it is.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { readYamlFile } from '../config/yaml-file.ts';
import { catalogueOf, readPolicyFile } from './policy-file.ts';
import { readFixtures } from './policy-fixtures.ts';
import { failureOf } from './policy-test.ts';

const SCHEMA = 'contracts/schemas/policy.schema.json';
const HINT = '# yaml-language-server: $schema=../../contracts/schemas/policy.schema.json\n';
const GUIDE = 'docs/policies.md';
/** A snippet of the guide, after the name of the file that it is. */
const SNIPPET = /<!-- (?<path>examples\/\S+) -->\n+```yaml\n(?<text>[^]*?)```/g;

const files = globSync('examples/policies/*.yaml').toSorted();
const examples = files.filter((path) => !path.endsWith('.fixtures.yaml'));
const guide = readFileSync(GUIDE, 'utf8');
const matchesSchema = new Ajv({ strict: false }).compile(JSON.parse(readFileSync(SCHEMA, 'utf8')) as object);

/** What the guide shows of a file: everything but the hint for editors. */
const shown = (path: string): string => readFileSync(path, 'utf8').replace(HINT, '');

test('there are examples enough, and no fixtures without an example', () => {
  assert.ok(examples.length >= 12, `${examples.length} examples`);
  assert.equal(files.length, 2 * examples.length);
});

for (const path of examples) {
  test(`${path} is valid, and all its fixtures hold`, () => {
    const file = readPolicyFile(path, undefined);
    assert.deepEqual(
      { ...file, policy: undefined },
      { kind: 'valid', file: path, errors: [], warnings: [], policy: undefined },
    );
    assert.ok(file.kind === 'valid');
    const fixtures = readFixtures(path.replace('.yaml', '.fixtures.yaml'), [file.policy]);
    assert.ok(fixtures.kind === 'readable', JSON.stringify(fixtures));
    for (const fixture of fixtures.found) {
      assert.equal(failureOf(file.policy, fixture), undefined, `${path}: ${fixture.name}`);
    }
  });

  test(`${path} tells editors of the schema, and keeps to it`, () => {
    assert.ok(readFileSync(path, 'utf8').startsWith(HINT));
    assert.equal(matchesSchema(readYamlFile(path).tree), true, JSON.stringify(matchesSchema.errors));
  });
}

test('the policies of the example configuration are valid for its providers', () => {
  const catalogue = catalogueOf({ config: 'examples/beamline.yaml' });
  const found = globSync('examples/policies/*/*.yaml').map((path) => readPolicyFile(path, catalogue));
  assert.deepEqual(new Set(found.map(({ kind }) => kind)), new Set(['valid']));
});

test('the guide shows every example as it is', () => {
  const snippets = new Map(Array.from(guide.matchAll(SNIPPET), ({ groups }) => [groups?.['path'], groups?.['text']]));
  for (const [path = '', text] of snippets) assert.equal(text, shown(path), `${GUIDE} and ${path} differ`);
  assert.deepEqual(
    examples.filter((path) => !snippets.has(path)),
    [],
    `${GUIDE} does not show them`,
  );
  const unnamed = guide.replaceAll(SNIPPET, '').match(/```yaml/g);
  assert.equal(unnamed, null, `${GUIDE} has a snippet that is no file`);
});
