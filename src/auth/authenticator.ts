// Verifies API keys against hashed records.
// A1. A credential is compared in constant time, and an unknown prefix costs what a wrong secret costs.
// A2. Verified credentials are remembered by SHA-256, never in clear, in a bounded table, and expire with their record.
// A3. A failure is never remembered, so guessing cannot push verified credentials out.
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { carriedCredential, refused, requirePrefix } from './credential.ts';
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
  /** RFC 3339; absent means never. */
  readonly expires_at?: string;
}

export interface AuthenticatorOptions {
  readonly keys: readonly KeyRecord[];
  /** The pepper now; while it is undefined every key gets `unavailable`. */
  readonly pepper: () => string | undefined;
  readonly clock: Clock;
}

interface Verified {
  readonly principal: Principal;
  readonly hash: Buffer;
  /** Unix epoch; infinite if the key does not expire. */
  readonly expiresMs: number;
}

const CACHE_MAX = 10_000;
const NO_HASH = Buffer.alloc(32);

/** Holds the records in memory; they do not change while it lives. */
export function openAuthenticator({ keys, pepper, clock }: AuthenticatorOptions): Authenticator {
  const byPrefix = new Map(keys.map((key) => [key.prefix, verifiedOf(key)]));
  const cache = new Map<string, Verified>();
  let cachedPepper: string | undefined;

  function verify(credential: string, pepper: string): Verified {
    const known = byPrefix.get(requirePrefix(credential));
    const given = createHmac('sha256', pepper).update(credential).digest();
    const isSame = timingSafeEqual(given, known?.hash ?? NO_HASH);
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
      if (current !== cachedPepper) {
        cache.clear();
        cachedPepper = current;
      }
      const digest = hash('sha256', credential, 'base64');
      let verified = cache.get(digest);
      if (verified === undefined) {
        verified = verify(credential, current);
        remember(digest, verified);
      }
      if (clock.epochMs() >= verified.expiresMs) throw refused('the key has expired');
      return verified.principal;
    },
  };
}

function verifiedOf(key: KeyRecord): Verified {
  const principal: Principal = {
    keyId: key.id,
    name: key.name,
    tenants: key.tenants,
    role: key.role,
    ...(key.models === undefined ? {} : { models: new Set(key.models) }),
    ...(key.policies === undefined ? {} : { policies: new Set(key.policies) }),
    scopes: key.scopes ?? [],
  };
  const expiresMs = key.expires_at === undefined ? Number.POSITIVE_INFINITY : Date.parse(key.expires_at);
  return { principal, hash: Buffer.from(key.hash, 'hex'), expiresMs };
}
