// What request headers ask of an order (gateway 5.1). The canonical name wins over its aliases;
// an invalid canonical value is refused, an invalid alias is ignored.
import type { IncomingHttpHeaders } from 'node:http';
import { BeamlineError } from '../core/errors.ts';
import { parseGuardedText } from '../core/json-guard.ts';
import { priorityNamed, type Wishes } from './wishes.ts';

/** What request headers ask of an order. */
export interface OrderHeaders {
  readonly policyId: string | undefined;
  readonly providerId: string | undefined;
  /** The smallest of all given, at most the gateway's own. */
  readonly deadlineMs: number;
  readonly idleMs: number | undefined;
  readonly attemptsMax: number | undefined;
  readonly sessionId: string | undefined;
  readonly userId: string | undefined;
  /** Undefined where no header asks. */
  readonly wishes: Wishes | undefined;
  readonly tags: readonly string[] | undefined;
}

type Draft = { -readonly [Field in keyof OrderHeaders]: OrderHeaders[Field] };
type Parse<T> = (text: string) => T | undefined;

interface Column {
  readonly isCanonical: boolean;
  /** Writes the value into the draft; false for one that is not legal. */
  readonly read: (draft: Draft, text: string) => boolean;
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const TENANT = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const USER = /^[\x21-\x7e]{1,256}$/;
const TAG = /^[\x21-\x2b\x2d-\x7e]{1,64}$/;
const TAGS_MAX = 16;
const METADATA_KEYS_MAX = 16;
const METADATA_BYTES_MAX = 2_048;

const matching =
  (pattern: RegExp): Parse<string> =>
  (text) =>
    pattern.test(text) ? text : undefined;

const integer =
  (minimum: number, maximum: number): Parse<number> =>
  (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : -1;
    return value >= minimum && value <= maximum ? value : undefined;
  };

const seconds: Parse<number> = (text) => {
  const ms = /^\d{1,7}(?:\.\d{1,6})?$/.test(text) ? Math.round(Number(text) * 1000) : 0;
  return ms > 0 ? ms : undefined;
};

const retries: Parse<number> = (text) => {
  const value = integer(0, 99)(text);
  return value === undefined ? undefined : value + 1;
};

const id = matching(ID);
const milliseconds = integer(1, 3_600_000);

function column<Field extends keyof Draft>(
  field: Field,
  isCanonical: boolean,
  parse: Parse<NonNullable<Draft[Field]>>,
): Column {
  return {
    isCanonical,
    read(draft, text) {
      const value = parse(text);
      if (value === undefined) return false;
      if (isCanonical || draft[field] === undefined) draft[field] = value;
      return true;
    },
  };
}

/** All of these count, not only the first. */
const timeout = (isCanonical: boolean, parse: Parse<number>): Column => ({
  isCanonical,
  read(draft, text) {
    const value = parse(text);
    if (value !== undefined) draft.deadlineMs = Math.min(draft.deadlineMs, value);
    return value !== undefined;
  },
});

const wish = <Name extends keyof Wishes>(
  name: Name,
  isCanonical: boolean,
  parse: Parse<NonNullable<Wishes[Name]>>,
): Column => ({
  isCanonical,
  read(draft, text) {
    const value = parse(text);
    if (value !== undefined && (isCanonical || draft.wishes?.[name] === undefined)) {
      draft.wishes = { ...draft.wishes, [name]: value };
    }
    return value !== undefined;
  },
});

const metadata: Parse<Readonly<Record<string, string>>> = (text) => {
  if (text.length > METADATA_BYTES_MAX) return undefined;
  const parsed = parseGuardedText(text, { depthMax: 1, valuesMax: METADATA_KEYS_MAX + 1 });
  if (!parsed.ok || typeof parsed.value !== 'object' || parsed.value === null || Array.isArray(parsed.value)) {
    return undefined;
  }
  const members = Object.entries(parsed.value);
  const isFlat = members.length <= METADATA_KEYS_MAX && members.every(([, value]) => typeof value === 'string');
  return isFlat ? (parsed.value as Readonly<Record<string, string>>) : undefined;
};

const tags: Parse<readonly string[]> = (text) => {
  const list = text.split(',').map((tag) => tag.trim());
  return list.length <= TAGS_MAX && list.every((tag) => TAG.test(tag)) ? list : undefined;
};

/** A header that is `1` or `0`. */
const flag = (heed: (isSet: boolean) => void): Column => ({
  isCanonical: true,
  read(_draft, text) {
    if (text !== '0' && text !== '1') return false;
    heed(text === '1');
    return true;
  },
});

/** Every decision is recorded, and its record is explained in full when somebody asks. */
const explained = (): void => undefined;

function notResumable(isSet: boolean): void {
  if (isSet) throw new BeamlineError('not_implemented', 'Streams cannot be resumed yet.');
}

const COLUMNS: ReadonlyMap<string, Column> = new Map([
  ['x-beamline-policy', column('policyId', true, id)],
  ['x-policy-id', column('policyId', false, id)],
  ['x-beamline-provider', column('providerId', true, id)],
  ['x-portkey-provider', column('providerId', false, id)],
  ['x-beamline-stream-idle-ms', column('idleMs', true, milliseconds)],
  ['x-litellm-stream-timeout', column('idleMs', false, seconds)],
  ['x-beamline-max-attempts', column('attemptsMax', true, integer(1, 100))],
  ['x-litellm-num-retries', column('attemptsMax', false, retries)],
  ['x-beamline-session', column('sessionId', true, id)],
  ['x-litellm-session-id', column('sessionId', false, id)],
  ['x-beamline-user', column('userId', true, matching(USER))],
  ['x-litellm-end-user-id', column('userId', false, matching(USER))],
  ['x-beamline-max-cost', wish('maxCostMicroUsd', true, integer(0, 9_999_999_999))],
  ['x-beamline-priority', wish('priority', true, priorityNamed)],
  ['x-gateway-inference-objective', wish('priority', false, priorityNamed)],
  ['x-beamline-metadata', wish('metadata', true, metadata)],
  ['x-portkey-metadata', wish('metadata', false, metadata)],
  ['x-beamline-tags', column('tags', true, tags)],
  ['x-beamline-explain', flag(explained)],
  ['x-beamline-resumable', flag(notResumable)],
  ['x-beamline-timeout-ms', timeout(true, milliseconds)],
  ['x-litellm-timeout', timeout(false, seconds)],
  ['x-stainless-timeout', timeout(false, seconds)],
]);

/** Throws `invalid_request` for a canonical header whose value is not legal, `not_implemented` for what is not built. */
export function readOrderHeaders(headers: IncomingHttpHeaders, deadlineMs: number): OrderHeaders {
  const draft: Draft = {
    policyId: undefined,
    providerId: undefined,
    deadlineMs,
    idleMs: undefined,
    attemptsMax: undefined,
    sessionId: undefined,
    userId: undefined,
    wishes: undefined,
    tags: undefined,
  };
  for (const name in headers) {
    if (!name.startsWith('x-')) continue;
    const known = COLUMNS.get(name);
    if (known !== undefined && !known.read(draft, String(headers[name])) && known.isCanonical) throw illegal(name);
  }
  return draft;
}

/** The usage of a request is not counted by its caller's tags, as that of a job is; throws rather than to take them for nothing. */
export function refuseTags({ tags }: OrderHeaders): void {
  if (tags === undefined) return;
  throw new BeamlineError('not_implemented', 'The header x-beamline-tags is served for jobs only.');
}

/** The tenant that a header names; throws `invalid_request`. */
export function tenantHeader(headers: IncomingHttpHeaders): string | undefined {
  const given = headers['x-tenant-id'];
  const alias = headers['x-beamline-tenant'];
  if (given === undefined) return alias === undefined ? undefined : matching(TENANT)(String(alias));
  const tenant = matching(TENANT)(String(given));
  if (tenant === undefined) throw illegal('x-tenant-id');
  return tenant;
}

const illegal = (header: string): BeamlineError =>
  new BeamlineError('invalid_request', `The header ${header} is not legal.`, {
    details: { reason: 'invalid_header', header },
  });
