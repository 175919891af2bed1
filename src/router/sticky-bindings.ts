// Which provider a session stays with: bounded, least recently used out first; losing it is harmless (policy 5.7).
// Where routers share their bindings, the newer one holds: a failover that another router made is followed here.
import type { Clock } from '../core/clock.ts';
import { Recent } from '../core/recent.ts';
import type { Facts } from '../policy/facts.ts';
import type { Policy } from '../policy/policy.ts';
import { stickyKey } from '../policy/sticky.ts';
import type { SharedBindings } from './shared-bindings.ts';

/** At most; the newest half of them at least. */
const BINDINGS_MAX = 100_000;

interface Binding {
  readonly provider: string;
  readonly untilMs: number;
  /** When the session came to this provider, since the Unix epoch. */
  readonly boundAtMs: number;
  /** Where it is shared; undefined where it is not. */
  readonly sharedKey: string | undefined;
}

export class StickyBindings {
  readonly #clock: Clock;
  readonly #shared: Pick<SharedBindings, 'get' | 'keyOf' | 'tell'> | undefined;
  readonly #bindings = new Recent<Binding>(BINDINGS_MAX / 2);

  /** Without `shared` no other router hears of them. */
  constructor(clock: Clock, shared?: Pick<SharedBindings, 'get' | 'keyOf' | 'tell'>) {
    this.#clock = clock;
    this.#shared = shared;
  }

  /** `key` begins with the tenant and a space. */
  get(key: string): string | undefined {
    return this.#binding(key)?.provider;
  }

  /** Binds or renews. */
  set(key: string, provider: string, ttlMs: number): void {
    const before = this.#binding(key);
    const epochMs = this.#clock.epochMs();
    const boundAtMs = before?.provider === provider ? before.boundAtMs : epochMs;
    const sharedKey = before?.sharedKey ?? this.#sharedKey(key);
    this.#bindings.set(key, { provider, untilMs: this.#clock.nowMs() + ttlMs, boundAtMs, sharedKey });
    if (sharedKey === undefined) return;
    this.#shared?.tell(sharedKey, tenantOf(key), { provider, boundAtMs, untilEpochMs: epochMs + ttlMs });
  }

  /** Binds the session of a request, if it has one, to the provider of its next attempt: a failover moves it. */
  follow(policy: Policy, facts: Facts, provider: string): void {
    const key = policy.sticky === undefined ? undefined : stickyKey(policy, facts);
    if (key !== undefined && policy.sticky !== undefined) this.set(key, provider, policy.sticky.ttlMs);
  }

  /** The newer one of what this router and what another one bound, if it is alive. */
  #binding(key: string): Binding | undefined {
    const own = this.#own(key);
    const sharedKey = own?.sharedKey ?? this.#sharedKey(key);
    const other = sharedKey === undefined ? undefined : this.#shared?.get(sharedKey);
    if (other === undefined || (own !== undefined && own.boundAtMs >= other.boundAtMs)) return own;
    const leftMs = other.untilEpochMs - this.#clock.epochMs();
    if (leftMs <= 0) return own;
    const { provider, boundAtMs } = other;
    return { provider, untilMs: this.#clock.nowMs() + leftMs, boundAtMs, sharedKey };
  }

  #own(key: string): Binding | undefined {
    const binding = this.#bindings.get(key);
    if (binding === undefined || binding.untilMs > this.#clock.nowMs()) return binding;
    this.#bindings.delete(key);
    return undefined;
  }

  #sharedKey(key: string): string | undefined {
    return this.#shared?.keyOf(tenantOf(key), key);
  }
}

const tenantOf = (key: string): string => key.slice(0, key.indexOf(' '));
