// Verifies API keys against hashed records.
// A1. A credential is compared in constant time, and an unknown prefix costs what a wrong secret costs.
// A2. Verified credentials are remembered by SHA-256, never in clear, in a bounded table, and expire with their record.
// A3. A failure is never remembered, so guessing cannot push verified credentials out.
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { carriedCredential, refused, requirePrefix } from './credential.ts';
import { openIpAllow } from './ip-allow.ts';
import type { Authenticator, Principal, Role } from './principal.ts';

/** A stored key (gateway 4.1); wire names, as it stands in the configuration. */
export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  /** HMAC-SHA256 of the whole key with the pepper, hex. */
  readonly hash: string;
  readonly tenants: readonly string[];
  readonly role: Role;
  readonly models?: readonly string[];
  readonly policies?: readonly string[];
  readonly scopes?: readonly string[];
  /** Addresses and networks from which it may be used; absent allows all. */
  readonly ip_allow?: readonly string[];
  /** RFC 3339; absent means never. */
  readonly expires_at?: string;
  readonly revoked_at?: string;
}

export interface AuthenticatorOptions {
  readonly keys: readonly KeyRecord[];
  /** The pepper now; while it is undefined every key gets `unavailable`. */
  readonly pepper: () => string | undefined;
  /** The pepper before, while keys that were hashed with it are still in use. */
  readonly previousPepper?: (() => string | undefined) | undefined;
  readonly clock: Clock;
}

interface Verified {
  readonly principal: Principal;
  readonly hash: Buffer;
  /** Unix epoch, of its expiry or its revocation; infinite if it has neither. */
  readonly endMs: number;
}

const CACHE_MAX = 10_000;
const NO_HASH = Buffer.alloc(32);

/** Holds the records in memory; they do not change while it lives. */
export function openAuthenticator({ keys, pepper, previousPepper, clock }: AuthenticatorOptions): Authenticator {
  const byPrefix = new Map(keys.map((key) => [key.prefix, verifiedOf(key)]));
  const cache = new Map<string, Verified>();
  let cachedPepper: string | undefined;
  let cachedPrevious: string | undefined;

  function verify(credential: string): Verified {
    const known = byPrefix.get(requirePrefix(credential));
    let isSame = false;
    // With every pepper, whether or not one has fitted: the time tells nothing.
    for (const pepper of [cachedPepper, cachedPrevious]) {
      if (pepper === undefined) continue;
      const given = createHmac('sha256', pepper).update(credential).digest();
      if (timingSafeEqual(given, known?.hash ?? NO_HASH)) isSame = true;
    }
    if (known === undefined || !isSame) throw refused('the key is not valid');
    return known;
  }

  function remember(digest: string, verified: Verified): void {
    const oldest = cache.size < CACHE_MAX ? undefined : cache.keys().next().value;
    if (oldest !== undefined) cache.delete(oldest);
    cache.set(digest, verified);
  }

  return {
    authenticate(authorization, xApiKey, apiKey) {
      const credential = carriedCredential(authorization, xApiKey, apiKey);
      const current = pepper();
      if (current === undefined) throw new BeamlineError('unavailable', 'keys cannot be verified now');
      const previous = previousPepper?.();
      if (current !== cachedPepper || previous !== cachedPrevious) {
        cache.clear();
        cachedPepper = current;
        cachedPrevious = previous;
      }
      const digest = hash('sha256', credential, 'base64');
      let verified = cache.get(digest);
      if (verified === undefined) {
        verified = verify(credential);
        remember(digest, verified);
      }
      if (clock.epochMs() >= verified.endMs) throw refused('the key has expired or was revoked');
      return verified.principal;
    },
  };
}

/** Whoever has a key may call models. */
const INFERENCE = 'ai:invoke';

function verifiedOf(key: KeyRecord): Verified {
  const principal: Principal = {
    keyId: key.id,
    name: key.name,
    tenants: key.tenants,
    role: key.role,
    ...(key.models === undefined ? {} : { models: new Set(key.models) }),
    ...(key.policies === undefined ? {} : { policies: new Set(key.policies) }),
    scopes: Object.freeze([INFERENCE, ...(key.scopes ?? [])]),
    ...(key.ip_allow === undefined ? {} : { allowsAddress: openIpAllow(key.ip_allow) }),
  };
  const endMs = Math.min(momentOf(key.expires_at), momentOf(key.revoked_at));
  return { principal, hash: Buffer.from(key.hash, 'hex'), endMs };
}

const momentOf = (time: string | undefined): number =>
  time === undefined ? Number.POSITIVE_INFINITY : Date.parse(time);
