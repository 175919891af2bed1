// Whether the registry has its parts and says what it is.
import { REGISTRY_PATH, type Fault, placeOf, type Rule } from './material.ts';
import { membersOf, SUBJECT_STATUSES } from './registry-shape.ts';

const PARTS: Readonly<Record<string, 'object' | 'list'>> = {
  meta: 'object',
  conventions: 'object',
  header_sets: 'object',
  subjects: 'list',
  streams: 'list',
  ownership: 'list',
};

const kindOf = (tree: unknown): string =>
  Array.isArray(tree) ? 'list' : typeof tree === 'object' && tree !== null ? 'object' : typeof tree;

/** A finding about the registry as a whole. */
const about = (message: string, ...keys: readonly string[]): Fault => ({
  subject: '',
  path: keys.length === 0 ? REGISTRY_PATH : placeOf(...keys),
  message,
});

export const SHAPE_RULES = {
  'top-level': {
    severity: 'error',
    says: 'the registry has meta, conventions, header_sets, subjects, streams and ownership, and nothing else',
    check: ({ tree }) => {
      const top = membersOf(tree);
      const lacking = Object.entries(PARTS).filter(([name, kind]) => kindOf(top[name]) !== kind);
      const foreign = Object.keys(top).filter((name) => !Object.hasOwn(PARTS, name));
      return [
        ...lacking.map(([name, kind]) =>
          about(`${name} must be there, as ${kind === 'list' ? 'a list' : 'an object'}`),
        ),
        ...foreign.map((name) => about(`${name} is no part of a registry`, name)),
      ];
    },
  },
  'meta-fields': {
    severity: 'error',
    says: 'meta has name, version and a known status',
    check: ({ registry: { meta } }) => [
      ...(['name', 'version', 'status'] as const)
        .filter((field) => meta[field] === '')
        .map((field) => about(`meta.${field} is missing`, 'meta', field)),
      ...(meta.status === '' || (SUBJECT_STATUSES as readonly string[]).includes(meta.status)
        ? []
        : [about(`${meta.status} is no status`, 'meta', 'status')]),
    ],
  },
  'freeze-tag': {
    severity: 'warning',
    says: "meta.freeze_tag is the lock's tag",
    check: ({ registry: { meta }, lock }) =>
      meta.freeze_tag === lock.freeze_tag
        ? []
        : [
            about(
              `${meta.freeze_tag || 'none'} is not the tag of the lock, ${lock.freeze_tag || 'none'}`,
              'meta',
              'freeze_tag',
            ),
          ],
  },
  conventions: {
    severity: 'error',
    says: 'allowed_versions is a list of vN, id_max a number',
    check: ({ registry: { conventions } }) => {
      const { allowed_versions: versions, id_max: idMax } = conventions;
      const isFine = versions.length > 0 && versions.every((version) => /^v[1-9][0-9]*$/.test(version));
      return [
        ...(isFine ? [] : [about('allowed_versions must list versions such as v1', 'conventions', 'allowed_versions')]),
        ...(Number.isInteger(idMax) && idMax > 0
          ? []
          : [about('id_max must be a number of bytes', 'conventions', 'id_max')]),
      ];
    },
  },
} as const satisfies Readonly<Record<string, Rule>>;
