// What changed in the law of the wire between two states of it: per subject, and for whom it breaks.
import { isDeepStrictEqual } from 'node:util';
import { headerChanges } from './header-diff.ts';
import { type Registry, schemaName, type StreamEntry, type SubjectEntry } from './registry-shape.ts';
import { diffSchemas } from './schema-diff.ts';

/** The registry with the schemas that it names, by `<id>@<version>`. */
export interface Law {
  readonly registry: Registry;
  readonly schemas: ReadonlyMap<string, unknown>;
}

export interface LawChange {
  readonly subject: string;
  readonly part: 'subject' | 'headers' | 'payload' | 'reply' | 'stream';
  /** Within the part: a field of a message, a header, or a member of the entry. */
  readonly path: string;
  readonly kind: string;
  /** A new consumer against old senders, a new producer against old readers. */
  readonly breaks: { readonly consumer: boolean; readonly producer: boolean };
  /** By the law (contracts 8.2): allowed without a new major version or not. Nobody relies on what is draft or planned. */
  readonly breaking: boolean;
  readonly message: string;
}

/** Sorted by subject, within it by part. */
export function diffLaws(old: Law, now: Law): readonly LawChange[] {
  const names = [...new Set([...old.registry.subjects, ...now.registry.subjects].map(({ name }) => name))].toSorted();
  const entryOf = (law: Law, name: string) => law.registry.subjects.find((subject) => subject.name === name);
  return names.flatMap((name) => {
    const [before, after] = [entryOf(old, name), entryOf(now, name)];
    if (before === undefined) return after === undefined ? [] : [addedSubject(after)];
    return after === undefined ? [removedSubject(before)] : subjectChanges(before, old, after, now);
  });
}

function subjectChanges(before: SubjectEntry, old: Law, after: SubjectEntry, now: Law): readonly LawChange[] {
  const changes = [
    ...memberChanges(before, after),
    ...headerChanges(before, old.registry, after, now.registry),
    ...bodyChanges('payload', before, old, after, now),
    ...bodyChanges('reply', before, old, after, now),
    ...streamChanges(before.name, old.registry, now.registry),
  ];
  return isReliedOn(before) ? changes : changes.map(unbreaking);
}

/** Whether messages of others exist that keep to the entry. */
const isReliedOn = ({ status }: SubjectEntry): boolean => status !== 'draft' && status !== 'planned';

const unbreaking = (change: LawChange): LawChange => Object.assign({}, change, { breaking: false });

const NOBODY = { consumer: false, producer: false };
const EVERYBODY = { consumer: true, producer: true };

const entryChange = (
  subject: string,
  path: string,
  kind: string,
  breaks: LawChange['breaks'],
  message: string,
): LawChange => ({
  subject,
  part: 'subject',
  path,
  kind,
  breaks,
  breaking: breaks.consumer || breaks.producer,
  message,
});

const addedSubject = ({ name, status, purpose }: SubjectEntry): LawChange =>
  entryChange(name, '/', 'subject_added', NOBODY, `a new subject, ${status}: ${purpose}`);

function removedSubject({ name, status }: SubjectEntry): LawChange {
  if (status === 'draft' || status === 'planned') {
    return entryChange(name, '/', 'subject_removed', NOBODY, `it was only ${status}`);
  }
  if (status === 'deprecated') {
    const message = 'removed; it was deprecated, which must have been so for 90 days';
    return entryChange(name, '/', 'subject_removed', NOBODY, message);
  }
  return entryChange(
    name,
    '/',
    'subject_removed',
    EVERYBODY,
    `removed while ${status}: deprecate it first, for 90 days`,
  );
}

/** Members of an entry whose change is another contract; `purpose` is prose. */
const KEPT = ['version', 'class', 'direction', 'queue_group', 'correlation', 'idempotency'] as const;

const WHY: Readonly<Record<(typeof KEPT)[number], string>> = {
  version: 'a version is part of the name',
  class: 'senders and readers meet in another way',
  direction: 'others send it or others read it',
  queue_group: 'other processes share the messages',
  correlation: 'answers are matched by another field',
  idempotency: 'repeats are known by another key',
};

function memberChanges(before: SubjectEntry, after: SubjectEntry): readonly LawChange[] {
  const { name } = before;
  const changed = KEPT.filter((member) => !isDeepStrictEqual(before[member], after[member])).map((member) => {
    const told = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none'));
    const message = `${told(before[member])} became ${told(after[member])}: ${WHY[member]}`;
    return entryChange(name, `/${member}`, `${member}_changed`, EVERYBODY, message);
  });
  return [...changed, ...statusChanges(before, after)];
}

function statusChanges({ name, status: was }: SubjectEntry, { status: is }: SubjectEntry): readonly LawChange[] {
  if (was === is) return [];
  const isWithdrawn =
    was === 'frozen' || (was !== 'draft' && was !== 'planned' && (is === 'draft' || is === 'planned'));
  const message = isWithdrawn ? `${was} became ${is}: others rely on it` : `${was} became ${is}`;
  return [entryChange(name, '/status', 'status_changed', isWithdrawn ? EVERYBODY : NOBODY, message)];
}

function bodyChanges(
  part: 'payload' | 'reply',
  before: SubjectEntry,
  old: Law,
  after: SubjectEntry,
  now: Law,
): readonly LawChange[] {
  const [was, is] = [before[part], after[part]];
  if (was === undefined && is === undefined) return [];
  const about = { subject: before.name, part, breaking: true, breaks: EVERYBODY } as const;
  if (was === undefined || is === undefined) {
    const message = was === undefined ? 'there was none and is one now' : 'there was one and is none any more';
    return [{ ...about, path: '/', kind: `${part}_changed`, message }];
  }
  const [one, other] = [schemaName(was), schemaName(is)];
  const renamed: readonly LawChange[] =
    one === other && was.format === is.format
      ? []
      : [
          {
            ...about,
            path: '/',
            kind: `${part}_changed`,
            message: `${was.format} ${one} became ${is.format} ${other}`,
          },
        ];
  const [schema, newer] = [old.schemas.get(one), now.schemas.get(other)];
  if (schema === undefined || newer === undefined) return renamed;
  const changes = diffSchemas(schema, newer, 'both').map(({ path, kind, breaks, lawful, message }): LawChange => ({
    subject: before.name,
    part,
    path,
    kind,
    breaks,
    breaking: !lawful,
    message,
  }));
  return [...renamed, ...changes];
}

const streamsOf = ({ streams }: Registry, subject: string): readonly StreamEntry[] =>
  streams.filter((stream) => stream.subject === subject);

/** The name, what becomes of read messages, and the durables are known to others; limits are the operator's. */
function streamChanges(subject: string, old: Registry, now: Registry): readonly LawChange[] {
  const seen = (streams: readonly StreamEntry[]) =>
    streams.map(({ name, retention, consumers }) => ({
      name,
      retention,
      durables: consumers.map(({ durable }) => durable).toSorted(),
    }));
  const [before, after] = [streamsOf(old, subject), streamsOf(now, subject)];
  const about = { subject, part: 'stream', path: '/', kind: 'stream_changed' } as const;
  if (!isDeepStrictEqual(seen(before), seen(after))) {
    const told = (streams: readonly StreamEntry[]): string =>
      seen(streams)
        .map(({ name, retention, durables }) => `${name} (${[retention, ...durables].join(', ')})`)
        .join(' and ') || 'no stream';
    const message = `${told(before)} became ${told(after)}: who reads it by name finds it no more`;
    return [{ ...about, breaks: EVERYBODY, breaking: true, message }];
  }
  if (isDeepStrictEqual(before, after)) return [];
  return [{ ...about, breaks: NOBODY, breaking: false, message: 'limits or delivery settings changed' }];
}
