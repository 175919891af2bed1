// What is frozen stays: entries, header sets and schemas of v1 are those of the lock, and grow only where old senders and
// old readers do not notice.
import { canonicalDigest } from '../../core/canonical-json.ts';
import { frozenEntries, isV1Set } from './freeze-lock.ts';
import { type Fault, frozenPath, LOCK_PATH, type Material, placeOf, type Rule, schemaPath } from './material.ts';
import { diffSchemas } from './schema-diff.ts';

/** The frozen subjects that are locked, with their lines of the lock. */
const lockedEntries = ({ registry, tree, lock }: Material) =>
  frozenEntries(registry, tree).flatMap((entry) => {
    const locked = lock.subjects[entry.name];
    return locked === undefined ? [] : [{ ...entry, locked }];
  });

function deletedFaults({ registry, lock }: Material): readonly Fault[] {
  return Object.keys(lock.subjects).flatMap((name) => {
    const status = registry.subjects.find((subject) => subject.name === name)?.status;
    if (status === 'frozen') return [];
    const message = status === undefined ? 'is frozen and not in the registry' : `is frozen and cannot be ${status}`;
    return [{ subject: name, path: `${LOCK_PATH}#/subjects`, message }];
  });
}

function headerFaults({ registry, lock }: Material): readonly Fault[] {
  const names = new Set([...Object.keys(lock.header_sets), ...Object.keys(registry.header_sets).filter(isV1Set)]);
  return [...names].flatMap((name) => {
    const set = registry.header_sets[name];
    if (set !== undefined && canonicalDigest(set) === lock.header_sets[name]) return [];
    const message = set === undefined ? `${name} is frozen and gone` : `${name} is not as the lock has it`;
    return [{ subject: '', path: placeOf('header_sets', name), message }];
  });
}

/** The frozen copies of the locked subjects, each once. */
function copiesOf(material: Material) {
  const copies = lockedEntries(material).flatMap(({ name: subject, locked }) =>
    Object.entries(locked.schemas).map(([schema, digest]) => ({ subject, schema, digest })),
  );
  return copies.filter(({ schema }, at) => copies.findIndex((other) => other.schema === schema) === at);
}

function copyFaults(material: Material): readonly Fault[] {
  return copiesOf(material).flatMap(({ subject, schema, digest }): readonly Fault[] => {
    const copy = material.frozen.get(schema);
    const path = frozenPath(schema);
    if (copy === undefined) return [{ subject, path, message: 'the frozen copy is not there', isMissing: true }];
    return canonicalDigest(copy) === digest
      ? []
      : [{ subject, path, message: 'the frozen copy is not as the lock has it' }];
  });
}

function compatibilityFaults(material: Material): readonly Fault[] {
  return copiesOf(material).flatMap(({ subject, schema }) => {
    const [frozen, live] = [material.frozen.get(schema), material.schemas.get(schema)];
    if (frozen === undefined || live === undefined) return [];
    return diffSchemas(frozen, live, 'both')
      .filter(({ lawful }) => !lawful)
      .map(({ path, kind, message }) => ({
        subject,
        path: `${schemaPath(schema)}#${path}`,
        message: `${kind}: ${message}`,
      }));
  });
}

/** The other direction is the finding of `v1-not-deleted`. */
function completenessFaults({ registry, tree, lock }: Material): readonly Fault[] {
  return frozenEntries(registry, tree).flatMap(({ at, name, schemas }): readonly Fault[] => {
    const locked = lock.subjects[name];
    const path = placeOf('subjects', at);
    if (locked === undefined) return [{ subject: name, path, message: 'is frozen and not in the lock' }];
    return schemas
      .filter((schema) => !Object.hasOwn(locked.schemas, schema))
      .map((schema) => ({ subject: name, path, message: `${schema} is not in its lock` }));
  });
}

export const FROZEN_RULES = {
  'v1-not-deleted': {
    severity: 'error',
    says: 'every locked subject exists and is frozen',
    check: deletedFaults,
  },
  'v1-headers-unchanged': {
    severity: 'error',
    says: 'the v1 header sets are those of the lock',
    check: headerFaults,
  },
  'v1-entry-unchanged': {
    severity: 'error',
    says: 'the entry of a frozen subject has the digest of the lock',
    check: (material) =>
      lockedEntries(material)
        .filter(({ entry, locked }) => entry !== locked.entry)
        .map(({ at, name }) => ({
          subject: name,
          path: placeOf('subjects', at),
          message: 'the entry is not as the lock has it',
        })),
  },
  'v1-frozen-copy': {
    severity: 'error',
    says: 'the frozen copies of schemas have the digests of the lock',
    check: copyFaults,
  },
  'v1-schema-compatible': {
    severity: 'error',
    says: 'a live schema differs from its frozen copy by additions only',
    check: compatibilityFaults,
  },
  'lock-complete': {
    severity: 'error',
    says: 'every frozen subject, with its schemas, is in the lock',
    check: completenessFaults,
  },
} as const satisfies Readonly<Record<string, Rule>>;
