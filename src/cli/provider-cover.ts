// Whose rows a file from outside is held against: `--truth-provider`, `--invoice-provider`.
export type Covers = (provider: string) => boolean;

/** What blocks without a provider are counted under. */
const WORKER = 'worker';

/** Comma separated; undefined: every provider, since our own workers are none. */
export function coverOf(ids: string | undefined): Covers {
  if (ids === undefined) return (provider) => provider !== WORKER;
  const named = new Set(ids.split(',').map((id) => id.trim()));
  return (provider) => named.has(provider);
}
