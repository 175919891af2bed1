// The schema of an extension's settings: the part of JSON Schema whose check ends in bounded time (policy 10.1). It is
// interpreted, no program is made of its text; patterns are those of `matches`. What is not understood is refused, since a
// keyword that nobody checks would promise something.
import { type Findings, pathTo } from './issue.ts';
import { faulty, passes, PLAIN_KEYWORDS, type Reading, type Tell, type Test } from './settings-keywords.ts';
import { isMembers } from './shape.ts';

const BYTES_MAX = 16_384;
const SCHEMAS_MAX = 256;
const DEPTH_MAX = 16;

type Members = Readonly<Record<string, unknown>>;

export interface SettingsSchema {
  readonly document: Members;
  /** Tells everything in the settings that is not of the schema, by its place. */
  check(config: unknown, path: string, tell: Tell): void;
}

/** Undefined after its faults were reported. */
export function readSettingsSchema(given: unknown, path: string, findings: Findings): SettingsSchema | undefined {
  const before = findings.errors.length;
  if (!isMembers(given)) findings.error(path, 'type', 'must be an object');
  else if (bytesOf(given) > BYTES_MAX) findings.error(path, 'too_large', `must have at most ${BYTES_MAX} bytes`);
  else {
    const test = schemaIn(given, path, { findings, schemas: 0, depth: 0, instructions: 0 });
    if (findings.errors.length === before) return { document: given, check: bounded(test) };
  }
  return undefined;
}

const bounded =
  (test: Test): Test =>
  (config, path, tell) =>
    bytesOf(config) > BYTES_MAX ? tell(path, `must have at most ${BYTES_MAX} bytes`) : test(config, path, tell);

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');

function schemaIn(given: unknown, path: string, reading: Reading): Test {
  const { findings } = reading;
  if (given === true) return passes;
  if (given === false) return (_, at, tell) => tell(at, 'is not allowed');
  if (!isMembers(given)) return faulty(findings, path, 'must be a schema');
  if (++reading.schemas > SCHEMAS_MAX || reading.depth >= DEPTH_MAX) {
    findings.error(path, 'too_large', `has more than ${SCHEMAS_MAX} schemas, or ${DEPTH_MAX} in each other`);
    return passes;
  }
  reading.depth++;
  const tests: Test[] = [];
  for (const [key, value] of Object.entries(given)) {
    if (ANNOTATIONS.has(key)) continue;
    const read = NESTING.get(key) ?? PLAIN_KEYWORDS.get(key);
    if (read === undefined)
      findings.error(pathTo(path, key), 'unknown_key', 'is not among the keywords that are checked');
    else tests.push(read(value, pathTo(path, key), reading, given));
  }
  reading.depth--;
  return (value, at, tell) => {
    for (const test of tests) test(value, at, tell);
  };
}

const ANNOTATIONS = new Set(['$schema', '$comment', 'title', 'description', 'default', 'examples']);

const NESTING: ReadonlyMap<string, typeof othersIn> = new Map<string, typeof othersIn>([
  ['properties', propertiesIn],
  ['additionalProperties', othersIn],
  ['items', itemsIn],
  ['anyOf', anyIn],
]);

function propertiesIn(given: unknown, path: string, reading: Reading): Test {
  if (!isMembers(given)) return faulty(reading.findings, path, 'must be an object');
  const tests = Object.entries(given).map(([name, of]) => [name, schemaIn(of, pathTo(path, name), reading)] as const);
  return (value, at, tell) => {
    if (!isMembers(value)) return;
    for (const [name, test] of tests) if (Object.hasOwn(value, name)) test(value[name], pathTo(at, name), tell);
  };
}

function othersIn(given: unknown, path: string, reading: Reading, { properties }: Members): Test {
  const named = new Set(isMembers(properties) ? Object.keys(properties) : []);
  const test = schemaIn(given, path, reading);
  return (value, at, tell) => {
    if (!isMembers(value)) return;
    for (const [name, member] of Object.entries(value)) if (!named.has(name)) test(member, pathTo(at, name), tell);
  };
}

function itemsIn(given: unknown, path: string, reading: Reading): Test {
  const test = schemaIn(given, path, reading);
  return (value, at, tell) => {
    if (!Array.isArray(value)) return;
    for (const [index, item] of value.entries()) test(item, pathTo(at, index), tell);
  };
}

function anyIn(given: unknown, path: string, reading: Reading): Test {
  if (!Array.isArray(given) || given.length === 0) return faulty(reading.findings, path, 'must be a list of schemas');
  const tests = given.map((one, index) => schemaIn(one, pathTo(path, index), reading));
  const fits = (test: Test, value: unknown, at: string): boolean => {
    let isFit = true;
    test(value, at, () => (isFit = false));
    return isFit;
  };
  return (value, at, tell) => {
    if (!tests.some((test) => fits(test, value, at))) tell(at, 'is none of what it may be');
  };
}
