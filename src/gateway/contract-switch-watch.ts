// Keeps the switch between v1 and v2 as operators set it, from its bucket; without an entry the configuration holds.
import type { Bus } from '../bus/bus.ts';
import { type ContractSwitch, contractSwitch, contractSwitchKey, controlBucket } from '../contracts/contract-switch.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';

/** Between two tries to watch. */
const RETRY_MS = 1_000;

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

  const follow = async (): Promise<void> => {
    try {
      for await (const { key, value, deleted } of bucket.watch(closing.signal)) {
        if (key !== contractSwitchKey) continue;
        const next = deleted ? configured : read(value);
        if (next === undefined) {
          deps.log.error('contract_switch_unreadable');
          continue;
        }
        current = next;
        deps.log.info('contract_switch_set', { state: next.enabled ? `${next.percent} %` : 'off' });
      }
    } catch (fault) {
      // What was set last holds until it is known better.
      deps.log.debug('contract_switch_unwatched', { code: BeamlineError.from(fault).code });
    }
    if (!closing.signal.aborted) await deps.timers.sleep(RETRY_MS).then(follow);
  };
  const following = follow();

  return {
    get current() {
      return current;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.race([following, Promise.resolve()]);
    },
  };
}

function read(text: string): ContractSwitch | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return contractSwitch.check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
