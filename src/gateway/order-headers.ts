// What request headers ask of an order (gateway 5.1). The canonical name wins over its aliases;
// an invalid canonical value is refused, an invalid alias is ignored.
import type { IncomingHttpHeaders } from 'node:http';
import { BeamlineError } from '../core/errors.ts';

type Parse<T> = (text: string) => T | undefined;

interface Row<T> {
  readonly name: string;
  readonly parse: Parse<T>;
  readonly aliases: readonly (readonly [name: string, parse: Parse<T>])[];
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

const TENANT_ID: Row<string> = {
  name: 'x-tenant-id',
  parse: matching(TENANT),
  aliases: [['x-beamline-tenant', matching(TENANT)]],
};
const POLICY: Row<string> = { name: 'x-beamline-policy', parse: id, aliases: [['x-policy-id', id]] };
const PROVIDER: Row<string> = { name: 'x-beamline-provider', parse: id, aliases: [['x-portkey-provider', id]] };
const IDLE_MS: Row<number> = {
  name: 'x-beamline-stream-idle-ms',
  parse: milliseconds,
  aliases: [['x-litellm-stream-timeout', seconds]],
};
const ATTEMPTS: Row<number> = {
  name: 'x-beamline-max-attempts',
  parse: integer(1, 100),
  aliases: [['x-litellm-num-retries', retries]],
};
const SESSION: Row<string> = { name: 'x-beamline-session', parse: id, aliases: [['x-litellm-session-id', id]] };
const END_USER: Row<string> = {
  name: 'x-beamline-user',
  parse: matching(USER),
  aliases: [['x-litellm-end-user-id', matching(USER)]],
};
/** All of these count, not only the first. */
const TIMEOUTS: readonly Row<number>[] = [
  { name: 'x-beamline-timeout-ms', parse: milliseconds, aliases: [] },
  { name: '', parse: seconds, aliases: [['x-litellm-timeout', seconds]] },
  { name: '', parse: seconds, aliases: [['x-stainless-timeout', seconds]] },
];

export interface OrderHeaders {
  readonly policyId: string | undefined;
  readonly providerId: string | undefined;
  /** The smallest of all given, at most `deadlineMs`. */
  readonly deadlineMs: number;
  readonly idleMs: number | undefined;
  readonly attemptsMax: number | undefined;
  readonly sessionId: string | undefined;
  readonly userId: string | undefined;
}

/** Throws `invalid_request` for a canonical header whose value is not legal. */
export function readOrderHeaders(headers: IncomingHttpHeaders, deadlineMs: number): OrderHeaders {
  return {
    policyId: read(headers, POLICY),
    providerId: read(headers, PROVIDER),
    deadlineMs: smallestTimeout(headers, deadlineMs),
    idleMs: read(headers, IDLE_MS),
    attemptsMax: read(headers, ATTEMPTS),
    sessionId: read(headers, SESSION),
    userId: read(headers, END_USER),
  };
}

/** The tenant that a header names; throws `invalid_request`. */
export const tenantHeader = (headers: IncomingHttpHeaders): string | undefined => read(headers, TENANT_ID);

function read<T>(headers: IncomingHttpHeaders, { name, parse, aliases }: Row<T>): T | undefined {
  const given = headers[name];
  if (given !== undefined) {
    const value = parse(String(given));
    if (value !== undefined) return value;
    throw new BeamlineError('invalid_request', `The header ${name} is not legal.`, {
      details: { reason: 'invalid_header', header: name },
    });
  }
  for (const [alias, parseAlias] of aliases) {
    const text = headers[alias];
    const value = text === undefined ? undefined : parseAlias(String(text));
    if (value !== undefined) return value;
  }
  return undefined;
}

function smallestTimeout(headers: IncomingHttpHeaders, ceilingMs: number): number {
  let smallest = ceilingMs;
  for (const row of TIMEOUTS) smallest = Math.min(smallest, read(headers, row) ?? smallest);
  return smallest;
}
