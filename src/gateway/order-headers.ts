// What request headers ask of an order (gateway 5.1). The canonical name wins over its aliases;
// an invalid canonical value is refused, an invalid alias is ignored.
import type { IncomingHttpHeaders } from 'node:http';
import { BeamlineError } from '../core/errors.ts';

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
  ['x-beamline-timeout-ms', timeout(true, milliseconds)],
  ['x-litellm-timeout', timeout(false, seconds)],
  ['x-stainless-timeout', timeout(false, seconds)],
]);

/** Throws `invalid_request` for a canonical header whose value is not legal. */
export function readOrderHeaders(headers: IncomingHttpHeaders, deadlineMs: number): OrderHeaders {
  const draft: Draft = {
    policyId: undefined,
    providerId: undefined,
    deadlineMs,
    idleMs: undefined,
    attemptsMax: undefined,
    sessionId: undefined,
    userId: undefined,
  };
  for (const name in headers) {
    if (!name.startsWith('x-')) continue;
    const known = COLUMNS.get(name);
    if (known !== undefined && !known.read(draft, String(headers[name])) && known.isCanonical) throw illegal(name);
  }
  return draft;
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
