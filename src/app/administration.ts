// What a router needs to be administered: who may, which policies may be written, and how their source is.
import type { Authenticator } from '../auth/principal.ts';
import type { Clock } from '../core/clock.ts';
import type { Administration } from '../router/admin.ts';
import { type PolicyAdmin, policyAdminOf } from '../router/admin-policy-reads.ts';
import type { PolicyReplica } from '../router/policy-replica.ts';
import type { PolicySource } from '../router/policy-source.ts';
import type { PolicyStore } from '../router/policy-store.ts';
import { authorizeBy } from './authorize.ts';

/** The policies of a process; `parse` is the one that its replica and its store use. */
interface Opened {
  readonly kind: PolicySource['kind'];
  readonly replica: PolicyReplica;
  readonly store: PolicyStore;
  readonly parse: PolicyAdmin['check'];
}

export const administrationOf = (
  { kind, replica, store, parse }: Opened,
  authenticator: Authenticator,
  clock: Clock,
): Administration => ({
  authorize: authorizeBy(authenticator),
  policies: policyAdminOf(replica, store, parse),
  source() {
    const ageMs = Math.round(replica.ageMs(clock.nowMs()));
    const reachable = replica.isReady && ageMs === 0;
    return reachable ? { kind, reachable } : { kind, reachable, age_ms: ageMs };
  },
});
