import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readYamlFile } from './yaml-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'beamline-yaml-'));
after(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const TEXT = `{
  "version": "1.0",
  "providers": [
    { "name": "alder", "weight": 70 },
    { "name": "b\\u00edrch", "weight": -1.5e3 }
  ],
  "note": null
}
`;

test('a JSON file reads as the same text in a YAML file, with the same places', () => {
  const [json, yaml] = [readYamlFile(fileOf('a.json', TEXT)), readYamlFile(fileOf('a.yaml', TEXT))];
  assert.deepEqual(json.tree, yaml.tree);
  assert.deepEqual([json.faults, json.notPlain], [[], []]);
  for (const path of [[], ['providers', 1, 'weight'], ['providers', 1, 'cost'], ['note']]) {
    for (const isKey of [false, true]) {
      const places = [json, yaml].map((file) => file.locate(path, isKey).replace(/^.*\.(json|yaml)/, ''));
      assert.equal(places[0], places[1], path.join('.'));
    }
  }
  assert.match(json.locate(['providers', 1, 'weight'], false), /a\.json:5:39$/);
});

test('what is wrong with a JSON file is told with its place', () => {
  const faults = (text: string): readonly string[] => readYamlFile(fileOf('b.json', text)).faults;
  assert.match(faults('{"a": 1,\n "a": 2}')[0] ?? '', /b\.json:2:2 the key "a" is there twice/);
  assert.match(faults('{"a": [1, 2}')[0] ?? '', /b\.json:1:\d+ /);
  assert.deepEqual(faults('{"a": 1}'), []);
});

test('a JSON file may say what YAML lets it', () => {
  assert.deepEqual(readYamlFile(fileOf('c.json', '# of ours\n{a: 1, }')).tree, { a: 1 });
});
