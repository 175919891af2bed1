// What changed in the headers of a subject: which are demanded, and which may be sent.
import type { LawChange } from './registry-diff.ts';
import type { Registry, SubjectEntry } from './registry-shape.ts';

export function headerChanges(
  before: SubjectEntry,
  old: Registry,
  after: SubjectEntry,
  now: Registry,
): readonly LawChange[] {
  const none = { required: [], optional: [] };
  const was = old.header_sets[before.headers] ?? none;
  const is = now.header_sets[after.headers] ?? none;
  const known = new Set([...was.required, ...was.optional]);
  const kept = new Set([...is.required, ...is.optional]);
  // Version 1 was frozen with its headers: not even an optional one may join (contracts 8.2).
  const isFixed = before.version === 'v1';
  const change = (
    header: string,
    kind: string,
    sides: Partial<LawChange['breaks']>,
    breaking: boolean,
    message: string,
  ) => ({
    subject: before.name,
    part: 'headers' as const,
    path: `/${header}`,
    kind,
    breaks: { consumer: false, producer: false, ...sides },
    breaking,
    message,
  });
  return [
    ...is.required
      .filter((header) => !was.required.includes(header))
      .map((header) =>
        change(header, 'header_required', { consumer: true }, true, 'demanded now: messages of old senders lack it'),
      ),
    ...was.required
      .filter((header) => !is.required.includes(header))
      .map((header) =>
        change(header, 'header_optional', { producer: true }, true, 'no longer sent by all: old readers demand it'),
      ),
    ...is.optional
      .filter((header) => !known.has(header))
      .map((header) => change(header, 'header_added', {}, isFixed, 'may be sent now; old readers ignore it')),
    ...was.optional
      .filter((header) => !kept.has(header))
      .map((header) => change(header, 'header_removed', {}, true, 'no longer declared: readers look for it in vain')),
  ];
}
