// How long a provider asks to be left alone (worker 10.4): the longest of what its headers say, at most a minute.
// What cannot be read, is negative or has passed counts as absent.

/** One value, several, or none, by lower-case name. */
export type UpstreamHeaders = Readonly<Record<string, string | string[] | undefined>>;

const RETRY_AFTER_MAX_MS = 60_000;

/** Limits of providers: what is left of one, and when it is whole again. */
const LIMITS: readonly (readonly [remaining: string, reset: string])[] = [
  ['x-ratelimit-remaining-requests', 'x-ratelimit-reset-requests'],
  ['x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens'],
  ...['requests', 'tokens', 'input-tokens', 'output-tokens'].map(
    (limit) => [`anthropic-ratelimit-${limit}-remaining`, `anthropic-ratelimit-${limit}-reset`] as const,
  ),
];

export function readRetryAfter(headers: UpstreamHeaders, epochMs: number): number | undefined {
  const waits = [
    milliseconds(headers['retry-after-ms'], 1),
    milliseconds(headers['retry-after'], 1000) ?? untilDate(headers['retry-after'], epochMs),
    ...LIMITS.map(([remaining, reset]) =>
      isNone(headers[remaining]) ? (duration(headers[reset]) ?? untilInstant(headers[reset], epochMs)) : undefined,
    ),
  ].filter((wait) => wait !== undefined);
  return waits.length === 0 ? undefined : Math.min(Math.max(...waits), RETRY_AFTER_MAX_MS);
}

type Value = UpstreamHeaders[string];

const isNone = (remaining: Value): boolean => typeof remaining === 'string' && /^0+$/.test(remaining.trim());

function milliseconds(value: Value, unitMs: number): number | undefined {
  return typeof value === 'string' && /^\d+(\.\d+)?$/.test(value.trim())
    ? Math.ceil(Number(value) * unitMs)
    : undefined;
}

/** HTTP dates begin with a weekday; `Date.parse` alone would read far too much. */
function untilDate(value: Value, epochMs: number): number | undefined {
  if (typeof value !== 'string' || !/^(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?,? /.test(value.trim()))
    return undefined;
  const waitMs = Date.parse(value) - epochMs;
  return waitMs > 0 ? waitMs : undefined;
}

const DURATION =
  /^(?=\d)(?:(\d{1,9}(?:\.\d+)?)h)?(?:(\d{1,9}(?:\.\d+)?)m)?(?:(\d{1,9}(?:\.\d+)?)s)?(?:(\d{1,9}(?:\.\d+)?)ms)?$/;

/** `1s`, `6m0s`, `20ms`. */
function duration(value: Value): number | undefined {
  const parts = typeof value === 'string' ? DURATION.exec(value.trim()) : null;
  if (parts === null) return undefined;
  const [, hours = 0, minutes = 0, seconds = 0, rest = 0] = parts;
  return Math.ceil(((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000 + Number(rest));
}

/** An instant of RFC 3339. */
function untilInstant(value: Value, epochMs: number): number | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value)) return undefined;
  const waitMs = Date.parse(value) - epochMs;
  return waitMs > 0 ? waitMs : undefined;
}
