// Keeps the switch between v1 and v2 as operators set it, from its bucket; without an entry the configuration holds.
import type { Bus, Entry } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import { readRecord } from '../contracts/codec.ts';
import {
  type ContractSwitch,
  contractSwitch,
  contractSwitchPattern,
  controlBucket,
} from '../contracts/contract-switch.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';

export interface WatchedSwitch extends AsyncDisposable {
  readonly current: ContractSwitch;
}

export async function watchContractSwitch(
  bus: Bus,
  deps: { readonly timers: Timers; readonly log: Log },
  configured: ContractSwitch,
): Promise<WatchedSwitch> {
  const bucket = await bus.openBucket(controlBucket);
  const closing = new AbortController();
  let current = configured;

  const hear = ({ value, deleted }: Entry): void => {
    const next = deleted ? configured : readRecord(contractSwitch, value);
    if (next === undefined) return deps.log.error('contract_switch_unreadable');
    current = next;
    deps.log.info('contract_switch_set', { state: next.enabled ? `${next.percent} %` : 'off' });
  };
  // What was set last holds until it is known better.
  void followBucket({
    ...deps,
    bucket,
    signal: closing.signal,
    pattern: contractSwitchPattern,
    unwatched: 'contract_switch_unwatched',
    hear,
  });

  return {
    get current() {
      return current;
    },
    [Symbol.asyncDispose]() {
      closing.abort();
      return Promise.resolve();
    },
  };
}
