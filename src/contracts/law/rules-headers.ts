// The header sets: well formed, defined where they are named, and spelled as their version spells.
import { type Fault, type Material, placeOf, type Rule } from './material.ts';
import { membersOf, type SubjectEntry } from './registry-shape.ts';

const setFault = (set: string, message: string): Fault => ({
  subject: '',
  path: placeOf('header_sets', set),
  message: `${set}: ${message}`,
});

const subjectFault = (subject: SubjectEntry, at: number, message: string): Fault => ({
  subject: subject.name,
  path: placeOf('subjects', at, 'headers'),
  message,
});

const versionOf = (set: string): string | undefined => /_(v[0-9]+)$/.exec(set)?.[1];

const NEEDED = ['x_trace_id', 'x_tenant_id', 'x_contract_version'];
const NEEDED_BY_CLASS: Readonly<Record<string, readonly string[]>> = {
  jetstream_event: ['x_msg_id'],
  dlq: ['x_msg_id', 'x_dlq_reason', 'x_original_subject'],
};

function shapeFaults({ registry, tree }: Material): readonly Fault[] {
  const raw = membersOf(membersOf(tree)['header_sets']);
  return Object.entries(registry.header_sets).flatMap(([name, { required, optional }]) => {
    const all = [...required, ...optional];
    const members = membersOf(raw[name]);
    if (!Array.isArray(members['required']) || !Array.isArray(members['optional'])) {
      return [setFault(name, 'required and optional must be lists')];
    }
    if (all.includes('')) return [setFault(name, 'a header must be a non-empty string')];
    const twice = all.filter((header, at) => all.indexOf(header) !== at);
    return twice.map((header) => setFault(name, `${header} stands there twice`));
  });
}

function spellingFaults({ registry }: Material): readonly Fault[] {
  return Object.entries(registry.header_sets).flatMap(([name, { required, optional }]) => {
    const isV1 = versionOf(name) === 'v1';
    const isFine = (header: string): boolean =>
      isV1
        ? header === 'nats-msg-id' || !header.toLowerCase().startsWith('nats-')
        : header === 'authorization' || /^x_[a-z0-9_]+$/.test(header);
    return [...required, ...optional]
      .filter((header) => header !== '' && !isFine(header))
      .map((header) => setFault(name, `${header} is not spelled as its version spells headers`));
  });
}

/** Each subject with the set that it names, where there is one. */
const withSets = ({ registry }: Material) =>
  registry.subjects.flatMap((subject, at) => {
    const set = registry.header_sets[subject.headers];
    return set === undefined ? [] : [{ subject, at, set }];
  });

export const HEADER_RULES = {
  'header-set-shape': {
    severity: 'error',
    says: 'required and optional are disjoint lists of unique non-empty strings',
    check: shapeFaults,
  },
  'header-set-exists': {
    severity: 'error',
    says: 'every header set that a subject names is defined',
    check: ({ registry }) =>
      registry.subjects.flatMap((subject, at) =>
        subject.headers === '' || Object.hasOwn(registry.header_sets, subject.headers)
          ? []
          : [subjectFault(subject, at, `${subject.headers} is not among the header sets`)],
      ),
  },
  'header-set-unused': {
    severity: 'warning',
    says: 'every header set is named by a subject',
    check: ({ registry }) => {
      const used = new Set(registry.subjects.map(({ headers }) => headers));
      return Object.keys(registry.header_sets)
        .filter((name) => !used.has(name))
        .map((name) => setFault(name, 'no subject names it'));
    },
  },
  'header-spelling': {
    severity: 'error',
    says: 'v2 sets use x_ names, except authorization; no Nats-* except nats-msg-id in v1',
    check: spellingFaults,
  },
  'v2-required-headers': {
    severity: 'error',
    says: 'sets of v2 subjects require trace, tenant and version; of stream events the message id, of dead letters the reason and the subject too',
    check: (material) =>
      withSets(material)
        // A v1 set on a v2 subject is the finding of `no-mixed-sets`.
        .filter(({ subject }) => subject.version !== 'v1' && versionOf(subject.headers) !== 'v1')
        .flatMap(({ subject, at, set }) =>
          [...NEEDED, ...(NEEDED_BY_CLASS[subject.class] ?? [])]
            .filter((header) => !set.required.includes(header))
            .map((header) => subjectFault(subject, at, `${subject.headers} does not require ${header}`)),
        ),
  },
  'no-mixed-sets': {
    severity: 'error',
    says: 'v2 subjects use v2 sets only, v1 subjects v1 sets only',
    check: (material) =>
      withSets(material)
        .filter(({ subject }) => versionOf(subject.headers) !== subject.version)
        .map(({ subject, at }) =>
          subjectFault(subject, at, `a ${subject.version} subject may not use ${subject.headers}`),
        ),
  },
} as const satisfies Readonly<Record<string, Rule>>;
