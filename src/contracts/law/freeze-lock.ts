// The lock of what is frozen (contracts 8.3): a digest per v1 header set, and per frozen subject one of its entry and of
// each frozen copy of its schemas. It only grows here; changing a line of it takes an edit by hand, which review sees.
import { canonicalDigest } from '../../core/canonical-json.ts';
import type { Material } from './material.ts';
import { refsOf } from './material.ts';
import { listOf, membersOf, type Registry, schemaName } from './registry-shape.ts';

export interface LockedSubject {
  readonly entry: string;
  readonly schemas: Readonly<Record<string, string>>;
}

export interface FreezeLock {
  readonly lock_version: number;
  readonly freeze_tag: string;
  readonly header_sets: Readonly<Record<string, string>>;
  readonly subjects: Readonly<Record<string, LockedSubject>>;
}

/** Lenient as the registry: what is missing reads as empty. */
export function lockOf(tree: unknown): FreezeLock {
  const { lock_version: version, freeze_tag: tag, header_sets: sets, subjects } = membersOf(tree);
  return {
    lock_version: typeof version === 'number' ? version : 0,
    freeze_tag: typeof tag === 'string' ? tag : '',
    header_sets: digestsOf(sets),
    subjects: Object.fromEntries(
      Object.entries(membersOf(subjects)).map(([name, locked]) => {
        const { entry, schemas } = membersOf(locked);
        return [name, { entry: typeof entry === 'string' ? entry : '', schemas: digestsOf(schemas) }];
      }),
    ),
  };
}

const digestsOf = (tree: unknown): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(membersOf(tree)).map(([name, digest]) => [name, String(digest)]));

export const isV1Set = (name: string): boolean => name.endsWith('_v1');

/** The frozen subjects of the registry, each with the digest of its entry as it stands in the file. */
export function frozenEntries(
  registry: Registry,
  tree: unknown,
): readonly {
  readonly at: number;
  readonly name: string;
  readonly entry: string;
  readonly schemas: readonly string[];
}[] {
  const raw = listOf(membersOf(tree)['subjects']);
  return registry.subjects.flatMap((subject, at) =>
    subject.status !== 'frozen'
      ? []
      : [
          {
            at,
            name: subject.name,
            entry: canonicalDigest(raw[at]),
            schemas: refsOf(subject).map(([, ref]) => schemaName(ref)),
          },
        ],
  );
}

export interface Relocked {
  readonly lock: FreezeLock;
  /** Copies to write, by schema. */
  readonly copies: ReadonlyMap<string, unknown>;
}

/** The lock with what it lacks: header sets, frozen subjects, and copies of their schemas. Nothing that is locked changes. */
export function relocked(material: Pick<Material, 'registry' | 'tree' | 'lock' | 'schemas' | 'frozen'>): Relocked {
  const { registry, tree, lock, schemas, frozen } = material;
  const copies = new Map<string, unknown>();
  const sets = Object.entries(registry.header_sets).filter(([name]) => isV1Set(name));
  const digestOfCopy = (name: string): readonly (readonly [string, string])[] => {
    const copy = frozen.get(name) ?? schemas.get(name);
    if (copy === undefined) return [];
    if (!frozen.has(name)) copies.set(name, copy);
    return [[name, canonicalDigest(copy)]];
  };
  const subjects = frozenEntries(registry, tree).map(
    ({ name, entry, schemas: named }) =>
      [name, lock.subjects[name] ?? { entry, schemas: Object.fromEntries(named.flatMap(digestOfCopy)) }] as const,
  );
  return {
    lock: {
      lock_version: lock.lock_version === 0 ? 1 : lock.lock_version,
      freeze_tag: lock.freeze_tag === '' ? registry.meta.freeze_tag : lock.freeze_tag,
      header_sets: {
        ...Object.fromEntries(sets.map(([name, set]) => [name, canonicalDigest(set)])),
        ...lock.header_sets,
      },
      subjects: { ...Object.fromEntries(subjects), ...lock.subjects },
    },
    copies,
  };
}
