// Each subject by itself: its name, its version, what it is for.
import { type Fault, type Material, placeOf, type Rule } from './material.ts';
import {
  listOf,
  membersOf,
  PARTIES,
  sidesOf,
  SUBJECT_CLASSES,
  SUBJECT_STATUSES,
  type SubjectEntry,
} from './registry-shape.ts';

type Each = (subject: SubjectEntry, at: number, material: Material) => readonly string[];

/** A rule about one subject at a time; `key` is the member that it is about. */
const each =
  (key: string, faultsOf: Each) =>
  (material: Material): readonly Fault[] =>
    material.registry.subjects.flatMap((subject, at) =>
      faultsOf(subject, at, material).map((message) => ({
        subject: subject.name,
        path: placeOf('subjects', at, ...(key === '' ? [] : [key])),
        message,
      })),
    );

const TEXTS = ['name', 'version', 'status', 'class', 'direction', 'purpose', 'headers'] as const;
const MEMBERS: ReadonlySet<string> = new Set([
  ...TEXTS,
  'queue_group',
  'payload',
  'reply',
  'correlation',
  'idempotency',
]);

const KNOWN = {
  status: (value) => (SUBJECT_STATUSES as readonly string[]).includes(value),
  class: (value) => (SUBJECT_CLASSES as readonly string[]).includes(value),
  direction: (value) => sidesOf(value) !== undefined,
} as const satisfies Readonly<Record<string, (value: string) => boolean>>;

function fieldFaults(subject: SubjectEntry, at: number, { tree }: Material): readonly string[] {
  const raw = membersOf(listOf(membersOf(tree)['subjects'])[at]);
  const group = subject.queue_group;
  return [
    ...TEXTS.filter((field) => subject[field] === '').map((field) => `${field} is missing`),
    ...(['status', 'class', 'direction'] as const)
      .filter((field) => subject[field] !== '' && !KNOWN[field](subject[field]))
      .map((field) => `${field} ${subject[field]} is not a known one`),
    ...(group === undefined || (PARTIES as readonly string[]).includes(group)
      ? []
      : [`queue_group ${group || 'of no name'} is no module`]),
    ...Object.keys(raw)
      .filter((name) => !MEMBERS.has(name))
      .map((name) => `${name} is no member of a subject`),
  ];
}

const TOKEN = /^(?:[A-Za-z0-9_-]+|<[a-z_]+>)$/;
const isParam = (token: string): boolean => token.startsWith('<');

/** Whether one message could be of both templates. */
function overlap(one: string, other: string): boolean {
  const [a, b] = [one.split('.'), other.split('.')];
  return a.length === b.length && a.every((token, at) => isParam(token) || isParam(b[at] ?? '') || token === b[at]);
}

const STATUSES_OF_V1: ReadonlySet<string> = new Set(['frozen', 'active', 'deprecated']);
const STATUSES_LATER: ReadonlySet<string> = new Set(['draft', 'planned', 'active', 'deprecated']);

export const SUBJECT_RULES = {
  'subject-fields': {
    severity: 'error',
    says: 'each subject has name, version, status, class, direction, purpose and headers, with known values',
    check: each('', fieldFaults),
  },
  'subject-unique': {
    severity: 'error',
    says: 'names are unique, templates do not overlap',
    check: each('name', ({ name }, at, { registry }) =>
      registry.subjects
        .slice(0, at)
        .filter((other) => name !== '' && overlap(name, other.name))
        .map((other) => (other.name === name ? 'the name stands there twice' : `overlaps with ${other.name}`)),
    ),
  },
  'subject-name': {
    severity: 'error',
    says: 'a name has legal tokens, one of them its version',
    check: each('name', ({ name, version }) => {
      if (name === '') return [];
      const tokens = name.split('.');
      const illegal = tokens
        .filter((token) => !TOKEN.test(token))
        .map((token) => `${JSON.stringify(token)} is no token`);
      return version === '' || tokens.includes(version) ? illegal : [...illegal, `${version} is not among its tokens`];
    }),
  },
  'version-allowed': {
    severity: 'error',
    says: 'a version is one of conventions.allowed_versions',
    check: each('version', ({ version }, _, { registry: { conventions } }) =>
      version === '' || conventions.allowed_versions.includes(version) ? [] : [`${version} is not allowed`],
    ),
  },
  'status-by-version': {
    severity: 'error',
    says: 'v1 is frozen, active or deprecated; v2 draft, planned, active or deprecated',
    check: each('status', ({ status, version }) => {
      const isKnown = (SUBJECT_STATUSES as readonly string[]).includes(status);
      const allowed = version === 'v1' ? STATUSES_OF_V1 : STATUSES_LATER;
      return !isKnown || version === '' || allowed.has(status) ? [] : [`a ${version} subject cannot be ${status}`];
    }),
  },
} as const satisfies Readonly<Record<string, Rule>>;
