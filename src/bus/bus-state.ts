// The state of a bus as one cell with listeners, shown by the gauge `bus_connected`.
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { BusState } from './bus.ts';

export interface StateCell {
  readonly now: BusState;
  set(state: BusState): void;
  on(listener: (state: BusState) => void): Disposable;
}

export function openState(initial: BusState, { metrics }: Telemetry): StateCell {
  const gauge = metrics.gauge({ name: 'bus_connected', help: 'Whether this process reaches its bus' }).of();
  const listeners = new Set<(state: BusState) => void>();
  let now = initial;
  gauge.set(now === 'connected' ? 1 : 0);
  return {
    get now() {
      return now;
    },
    set(state) {
      if (state === now) return;
      now = state;
      gauge.set(state === 'connected' ? 1 : 0);
      for (const listener of listeners) listener(state);
    },
    on(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}
