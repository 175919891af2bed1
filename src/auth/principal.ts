// The verified caller, and the port that turns what a request carries into one.
// Roles and tenants come only from the verified credential, never from a header.

import type { AllowsAddress } from './ip-allow.ts';

export type Role = 'viewer' | 'operator' | 'admin' | 'service';

export interface Principal {
  readonly keyId: string;
  readonly name: string;
  /** At least one. */
  readonly tenants: readonly string[];
  readonly role: Role;
  /** Model names that may be called; undefined allows all. */
  readonly models?: ReadonlySet<string>;
  /** Policies that may be used; undefined allows all. */
  readonly policies?: ReadonlySet<string>;
  /** What its requests may do: `ai:invoke`, and what blocks may do for its jobs, for example `http:egress`. */
  readonly scopes: readonly string[];
  /** Addresses that may use the credential; undefined allows all. */
  readonly allowsAddress?: AllowsAddress;
}

export interface Authenticator {
  /**
   * The principal of the headers `authorization`, `x-api-key` and `api-key`.
   * Throws BeamlineError `unauthorized`, or `unavailable` while no key can be verified; no text of it repeats a credential.
   */
  authenticate(authorization: string | undefined, xApiKey: string | undefined, apiKey: string | undefined): Principal;
}
