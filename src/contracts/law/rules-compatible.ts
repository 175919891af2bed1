// What other branches and deployments rely on: an active subject keeps its entry, its headers and its schemas (contracts 8.2).
import { isDeepStrictEqual } from 'node:util';
import { type Fault, type Material, placeOf, refsOf, type Rule, schemaPath } from './material.ts';
import { type Registry, schemaName, type SubjectEntry } from './registry-shape.ts';
import { diffSchemas } from './schema-diff.ts';

const KEPT = ['class', 'direction', 'headers', 'payload', 'reply', 'correlation', 'idempotency'] as const;

function changedMembers(old: SubjectEntry, now: SubjectEntry, at: number): readonly Fault[] {
  return KEPT.filter((member) => !isDeepStrictEqual(old[member], now[member])).map((member) => ({
    subject: now.name,
    path: placeOf('subjects', at, member),
    message: `${member} of an active subject changed`,
  }));
}

function grownHeaders(old: Registry, now: Registry, subject: SubjectEntry): readonly Fault[] {
  const before = old.header_sets[subject.headers]?.required ?? [];
  return (now.header_sets[subject.headers]?.required ?? [])
    .filter((header) => !before.includes(header))
    .map((header) => ({
      subject: subject.name,
      path: placeOf('header_sets', subject.headers),
      message: `${header} became required`,
    }));
}

function schemaFaults({ schemas, base }: Material, subject: SubjectEntry): readonly Fault[] {
  return refsOf(subject).flatMap(([, ref]) => {
    const name = schemaName(ref);
    const [old, now] = [base?.schemas.get(name), schemas.get(name)];
    if (old === undefined || now === undefined) return [];
    return diffSchemas(old, now, 'both')
      .filter(({ lawful }) => !lawful)
      .map(({ path, kind, message }) => ({
        subject: subject.name,
        path: `${schemaPath(name)}#${path}`,
        message: `${kind}: ${message}`,
      }));
  });
}

function changesOf(material: Material, base: Registry, old: SubjectEntry): readonly Fault[] {
  const at = material.registry.subjects.findIndex(({ name }) => name === old.name);
  const now = material.registry.subjects[at];
  if (now === undefined) {
    return [{ subject: old.name, path: placeOf('subjects'), message: 'removed without having been deprecated' }];
  }
  if (now.status === 'draft' || now.status === 'planned') {
    return [{ subject: now.name, path: placeOf('subjects', at, 'status'), message: `was active and is ${now.status}` }];
  }
  return [
    ...changedMembers(old, now, at),
    ...grownHeaders(base, material.registry, now),
    ...schemaFaults(material, now),
  ];
}

export const COMPATIBLE_RULES = {
  'v2-active-compatible': {
    severity: 'error',
    says: 'with --base: no active subject loses or changes what its senders and readers rely on',
    check: (material) =>
      (material.base?.registry.subjects ?? [])
        .filter(({ status }) => status === 'active')
        .flatMap((old) => (material.base === undefined ? [] : changesOf(material, material.base.registry, old))),
  },
} as const satisfies Readonly<Record<string, Rule>>;
