// The clock on the wall of a place: what `time.hour` and its siblings say in the policy's time zone (policy 3.4).

export interface LocalTime {
  readonly hour: number;
  readonly minute: number;
  /** 1 Monday to 7 Sunday. */
  readonly weekday: number;
  /** For example `2026-11-21`. */
  readonly date: string;
}

const NAME = /^[A-Za-z][\w+-]*(?:\/[\w+-]+)*$/;
/** There are about 600 names of time zones; more are spellings of them. */
const FORMATS_MAX = 1_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** Whether `name` is a time zone of the IANA list, for example `Europe/Berlin`. */
export function isTimeZone(name: string): boolean {
  try {
    return NAME.test(name) && formatOf(name) !== undefined;
  } catch {
    return false;
  }
}

/** Throws a RangeError for what is not a time zone. */
export function localTime(unixMs: number, timeZone: string): LocalTime {
  const local = new Date(timeZone === 'UTC' ? unixMs : wallMs(unixMs, timeZone));
  return {
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    weekday: local.getUTCDay() === 0 ? 7 : local.getUTCDay(),
    date: local.toISOString().slice(0, 10),
  };
}

/** The moment at which a clock in UTC would show what the clock of the place shows now. */
function wallMs(unixMs: number, timeZone: string): number {
  const parts: Record<string, number> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(unixMs)) parts[type] = Number(value);
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute);
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format !== undefined) return format;
  format = new Intl.DateTimeFormat('en-u-ca-iso8601-nu-latn', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  if (formats.size >= FORMATS_MAX) formats.clear();
  formats.set(timeZone, format);
  return format;
}
