// Counts bad credentials by the address that they came from, so that guessing is slow (gateway 4.1).
// Nobody with a good credential is asked for: they are unaffected, whoever shares their address.
import { Recent } from '../core/recent.ts';

const WINDOW_MS = 60_000;
const ADDRESSES_MAX = 10_000;

interface Window {
  count: number;
  readonly endMs: number;
}

export class Guesses {
  readonly #perMinute: number;
  readonly #byAddress = new Recent<Window>(ADDRESSES_MAX);

  /** 0 is no limit. */
  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  /** Counts one; how long its address is to wait, 0 while it has not failed too often. */
  failed(address: string, nowMs: number): number {
    if (this.#perMinute === 0) return 0;
    const place = placeOf(address);
    const known = this.#byAddress.get(place);
    if (known === undefined || nowMs >= known.endMs) {
      this.#byAddress.set(place, { count: 1, endMs: nowMs + WINDOW_MS });
      return 0;
    }
    known.count++;
    return known.count > this.#perMinute ? known.endMs - nowMs : 0;
  }
}

/** Whoever has one address of IPv6 has the others of its /64. */
function placeOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':');
  return (tail === undefined ? groups : [...groups, '0', '0', '0', '0']).slice(0, 4).join(':');
}
