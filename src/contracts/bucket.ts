// Buckets as data, and the one place where a key is made: encoded tokens joined by dots, tenant first wherever there is one.
import { encodeToken } from './subject.ts';

export interface BucketSpec {
  /** `[A-Za-z0-9_-]`, without the prefix that every bucket gets. */
  readonly name: string;
  /** Entries expire this long after their last write; absent: never. */
  readonly ttlMs?: number;
  readonly bytesMax: number;
  /**
   * Revisions of a key that a server keeps; 1 if absent. A single server of 2.9 that was killed may count replaced entries
   * that it does not find any more, and then drops each newer one that it confirms to keep their number down: so where
   * entries must last they are not replaced. A cluster keeps 1 (docs/decisions/0016). Not for keys that are erased after
   * more than one write: of a repeated one an older entry may come back.
   */
  readonly history?: number;
  /**
   * Whether a bucket that is there gets these bounds too. Where they can be set, one module owns them; what others
   * say counts only until then.
   */
  readonly isOwn?: true;
  /**
   * Given where a process writes again what it wrote a moment ago, if a single server that was killed has lost it: in
   * place of nothing, and of what it supersedes. Whoever writes must agree about the order, so that it does not matter who
   * is first. An entry that others took away without a mark may come back: whoever finds it must see that it is over.
   */
  readonly supersedes?: (ours: string, standing: string) => boolean;
}

export const keyOf = (...ids: readonly string[]): string => ids.map(encodeToken).join('.');

declare const patternBrand: unique symbol;
/** What `entries` and `watch` are narrowed by; only `keyPattern` makes one. */
export type KeyPattern = string & { readonly [patternBrand]: true };

/** The keys whose tokens are these; `undefined` stands for any one token. */
export const keyPattern = (...tokens: readonly (string | undefined)[]): KeyPattern =>
  tokens.map((token) => (token === undefined ? '*' : encodeToken(token))).join('.') as KeyPattern;
