// The examples that readers copy from, and the files that are generated.
import { type Example, type Fault, type Material, refsOf, type Rule } from './material.ts';
import { schemaName } from './registry-shape.ts';
import { schemaFault, unknownFields, valueChecker } from './schema-fields.ts';

const fault = ({ path }: Pick<Example, 'path'>, message: string): Fault => ({ subject: '', path, message });

const missing = (path: string): Fault => ({ ...fault({ path }, 'there is no example'), isMissing: true });

function validityFaults({ registry, schemas, examples, code }: Material): readonly Fault[] {
  const named = new Set([
    ...registry.subjects.flatMap((subject) => refsOf(subject).map(([, ref]) => schemaName(ref))),
    ...schemas.keys(),
    ...code.schemas.keys(),
  ]);
  const checkers = new Map<string, (value: unknown) => string | undefined>();
  const checkerOf = (name: string): ((value: unknown) => string | undefined) | undefined => {
    const schema = schemas.get(name);
    if (schema === undefined || schemaFault(schema) !== undefined) return undefined;
    const checker = checkers.get(name) ?? valueChecker(schema as object);
    checkers.set(name, checker);
    return checker;
  };
  return examples.flatMap((example) => {
    if (!named.has(example.schema)) return [fault(example, `there is no schema ${example.schema}`)];
    const why = checkerOf(example.schema)?.(example.value);
    return why === undefined ? [] : [fault(example, why)];
  });
}

export const EXAMPLE_RULES = {
  'example-exists': {
    severity: 'error',
    says: 'each schema has an example',
    check: ({ schemas, examples }) => {
      const shown = new Set(examples.map(({ schema }) => schema));
      return [...schemas.keys()]
        .filter((name) => !shown.has(name))
        .map((name) => missing(`contracts/examples/${name}`));
    },
  },
  'example-valid': {
    severity: 'error',
    says: 'each example validates',
    check: validityFaults,
  },
  'example-known-fields': {
    severity: 'warning',
    says: 'examples have declared fields only',
    check: ({ schemas, examples }) =>
      examples.flatMap((example) => {
        const schema = schemas.get(example.schema);
        const unknown = schema === undefined ? [] : unknownFields(schema, example.value);
        return unknown.map((path) => fault({ path: `${example.path}#${path}` }, 'the schema does not declare it'));
      }),
  },
  'generated-fresh': {
    severity: 'error',
    says: 'generated files are what a new generation makes',
    check: ({ generated }) =>
      generated
        .filter(({ text, found }) => text !== found)
        .map((file) => fault(file, 'is stale: run beamline contracts docs')),
  },
} as const satisfies Readonly<Record<string, Rule>>;
