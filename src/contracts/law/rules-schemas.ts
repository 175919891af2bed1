// The schema files: there, readable, named by somebody, and equal to what the code emits. Beside them the error table.
import { isDeepStrictEqual } from 'node:util';
import { canonicalDigest } from '../../core/canonical-json.ts';
import { ERRORS_PATH, type Fault, isBuilt, type Material, refsOf, type Rule, schemaPath } from './material.ts';
import { membersOf, schemaName } from './registry-shape.ts';
import { schemaFault } from './schema-fields.ts';

const fault = (name: string, message: string, subject = ''): Fault => ({ subject, path: schemaPath(name), message });

const missing = (name: string, subject: string): Fault => ({
  ...fault(name, 'the schema is not there', subject),
  isMissing: true,
});

/** Schemas that must be there: those of built subjects and of the code, each with a subject that names it. */
function wanted(material: Material): ReadonlyMap<string, string> {
  const built = material.registry.subjects.filter((subject) => isBuilt(material, subject));
  return new Map([
    ...[...material.code.schemas.keys()].map((name) => [name, ''] as const),
    ...built.flatMap((subject) =>
      refsOf(subject)
        .filter(([, ref]) => ref.schema_id !== '' && ref.schema_version !== '')
        .map(([, ref]) => [schemaName(ref), subject.name] as const),
    ),
  ]);
}

const existenceFaults = (material: Material): readonly Fault[] => [
  ...[...wanted(material)]
    .filter(([name]) => !material.schemas.has(name))
    .map(([name, subject]) => missing(name, subject)),
  ...[...material.schemas].flatMap(([name, tree]) => {
    const why = schemaFault(tree);
    return why === undefined ? [] : [fault(name, `does not compile: ${why}`)];
  }),
];

function versionFaults({ schemas }: Material): readonly Fault[] {
  return [...schemas].flatMap(([name, tree]) => {
    const { version } = membersOf(membersOf(tree)['properties']);
    if (version === undefined) return [];
    const { const: only, default: usual } = membersOf(version);
    return (only ?? usual) === name.split('@').at(-1)
      ? []
      : [fault(name, 'version is neither a constant nor a default')];
  });
}

function codeFaults({ schemas, code }: Material): readonly Fault[] {
  return [...schemas].flatMap(([name, tree]) => {
    const emitted = code.schemas.get(name);
    if (emitted === undefined || schemaFault(tree) !== undefined) return [];
    return canonicalDigest(tree) === canonicalDigest(emitted) ? [] : [fault(name, 'is not what the code emits')];
  });
}

function errorFaults({ errors, code }: Material): readonly Fault[] {
  const say = (kind: string, name: string, message: string): Fault => ({
    subject: '',
    path: `${ERRORS_PATH}#/${kind}/${name}`,
    message,
  });
  return (['answers', 'executions'] as const).flatMap((kind) => {
    const names = new Set([...Object.keys(errors[kind]), ...Object.keys(code.errors[kind])]);
    return [...names].flatMap((name): readonly Fault[] => {
      const [law, line] = [errors[kind][name], code.errors[kind][name]];
      if (law === undefined) return [say(kind, name, 'the code has it, the table does not')];
      if (line === undefined) return [say(kind, name, 'the table has it, the code does not')];
      return isDeepStrictEqual(law, line) ? [] : [say(kind, name, 'code and table differ')];
    });
  });
}

export const SCHEMA_RULES = {
  'schema-exists': {
    severity: 'error',
    says: 'every schema that a built subject or the code names is a file and compiles',
    check: existenceFaults,
  },
  'schema-unused': {
    severity: 'warning',
    says: 'every schema is named by a subject or stands in a bucket',
    check: ({ registry, schemas, code }) => {
      const named = new Set(registry.subjects.flatMap((subject) => refsOf(subject).map(([, ref]) => schemaName(ref))));
      return [...schemas.keys()]
        .filter((name) => !named.has(name) && !code.records.has(name))
        .map((name) => fault(name, 'nothing names it'));
    },
  },
  'schema-version': {
    severity: 'error',
    says: 'the version field of a schema, where it has one, is a constant or a default',
    check: versionFaults,
  },
  'schema-matches-code': {
    severity: 'error',
    says: 'schema files are what the code emits',
    check: codeFaults,
  },
  'error-codes-total': {
    severity: 'error',
    says: 'each error code has one status or class and one retry flag, equal in code and table',
    check: errorFaults,
  },
} as const satisfies Readonly<Record<string, Rule>>;
