// What the queries of the usage routes say, checked: each parameter by name, and no other. Nothing is there twice: the edge refuses that.
import type { Call } from '../call.ts';
import { invalidField } from './policies-request.ts';

const MONTH_MS = 30 * 86_400_000;
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;
const VALUE_CHARS_MAX = 1_024;

export type Query = ReadonlyMap<string, string>;

/** Throws `invalid_request` with the name of a parameter that is not known or too long. */
export function queryOf({ req: { url = '' } }: Pick<Call, 'req'>, known: readonly string[]): Query {
  const query = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?')) : '')) {
    const told = name.slice(0, 64);
    if (!known.includes(name)) throw invalidField(told, 'is not a parameter of this path');
    if (value.length > VALUE_CHARS_MAX) throw invalidField(told, 'is too long');
    if (value !== '') query.set(name, value);
  }
  return query;
}

/** `since` and `until`, RFC 3339: by default the last 30 days. */
export function periodOf(query: Query, epochMs: number): { readonly since: number; readonly until: number } {
  const until = momentOf(query, 'until') ?? epochMs;
  return { since: momentOf(query, 'since') ?? Math.max(0, until - MONTH_MS), until };
}

function momentOf(query: Query, name: string): number | undefined {
  const text = query.get(name);
  if (text === undefined) return undefined;
  const moment = MOMENT.test(text) ? Date.parse(text) : Number.NaN;
  if (moment >= 0) return moment;
  throw invalidField(name, 'must be a moment as in RFC 3339, for example 2026-11-01T00:00:00Z');
}

/** One of a closed list. */
export function choiceOf<T extends string>(query: Query, name: string, choices: readonly T[]): T | undefined {
  const text = query.get(name);
  if (text === undefined) return undefined;
  const choice = choices.find((one) => one === text);
  if (choice !== undefined) return choice;
  throw invalidField(name, `must be one of ${choices.join(', ')}`);
}

/** Some of a closed list, comma separated, each once. */
export function choicesOf<T extends string>(
  query: Query,
  name: string,
  of: { readonly choices: readonly T[]; readonly countMax: number },
): readonly T[] {
  const texts = query.get(name)?.split(',') ?? [];
  const chosen = texts.map((text) => of.choices.find((one) => one === text));
  const known = chosen.filter((choice) => choice !== undefined);
  if (known.length === texts.length && new Set(known).size === known.length && known.length <= of.countMax)
    return known;
  throw invalidField(name, `must be at most ${of.countMax} of ${of.choices.join(', ')}`);
}
