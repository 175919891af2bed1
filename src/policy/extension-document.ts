// The keys of the programs of others: pre-processors and validators before a decision, post-processors on the output
// (policy 2, 10).
import { integer, list, textLike, when, word } from './document-parts.ts';
import { isMembers, type Shape } from './shape.ts';

interface ItemDocument {
  readonly id: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly timeout_ms?: number;
  readonly retry?: number;
  readonly when?: unknown;
}
export interface ProcessorDocument extends ItemDocument {
  readonly mode?: 'required' | 'optional';
}
export interface ValidatorDocument extends ItemDocument {
  readonly on_fail?: 'block' | 'warn' | 'ignore';
}

export const EXTENSION_ID = /^[a-z][a-z0-9_]{0,63}$/;
/** Of one stage. */
const ITEMS_MAX = 5;

const item = {
  id: {
    shape: textLike(1, 64, EXTENSION_ID, 'have small letters, digits and _ only, and begin with a letter'),
    isRequired: true,
  },
  config: { shape: { kind: 'open' } },
  timeout_ms: { shape: integer(1, 300_000) },
  retry: { shape: integer(0, 10) },
  when: { shape: when, isV2: true },
} as const;

/** `pre` and `post`. */
export const processors: Shape = list(
  { kind: 'record', fields: { ...item, mode: { shape: word(['required', 'optional']) } } },
  0,
  ITEMS_MAX,
);

export const validators: Shape = list(
  { kind: 'record', fields: { ...item, on_fail: { shape: word(['block', 'warn', 'ignore']) } } },
  0,
  ITEMS_MAX,
);

/** Whether the document of a policy lists this provider; what is not of the configuration must be listed. */
export const listsProvider = (document: unknown, id: string): boolean =>
  isMembers(document) && [document['providers']].flat().some((listed) => isMembers(listed) && listed['name'] === id);

/** Whether the document of a policy has an item of this extension; one that is no policy has none. */
export const namesExtension = (document: unknown, id: string): boolean =>
  isMembers(document) &&
  [document['pre'], document['validators'], document['post']]
    .flat()
    .some((listed) => isMembers(listed) && listed['id'] === id);
