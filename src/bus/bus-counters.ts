// What a bus counts, by the template of a contract: the children are resolved once per contract, not per message.
import type { ErrorCode } from '../core/errors.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

export type DropReason = 'pending_max' | 'no_reply_subject' | 'reply_lost' | 'stream_full' | 'exhausted';

/** The counters of one contract. */
export interface ContractCounters {
  readonly ok: Counter;
  failed(code: ErrorCode): void;
  dropped(reason: DropReason): void;
  readonly invalid: Counter;
}

/** The counters by template; asking twice for one gives the same. */
export type BusCounters = (template: string) => ContractCounters;

export function openCounters({ metrics }: Telemetry): BusCounters {
  const requests = metrics.counter({
    name: 'bus_requests_total',
    help: 'Requests by their end',
    labels: ['subject', 'result'],
  });
  const drops = metrics.counter({
    name: 'bus_dropped_total',
    help: 'Messages not handled',
    labels: ['subject', 'reason'],
  });
  const invalid = metrics.counter({
    name: 'bus_invalid_messages_total',
    help: 'Messages off contract',
    labels: ['subject'],
  });
  const known = new Map<string, ContractCounters>();
  return (template) => {
    let counters = known.get(template);
    if (counters === undefined) {
      counters = countersOf(template, requests, drops, invalid);
      known.set(template, counters);
    }
    return counters;
  };
}

const countersOf = (
  template: string,
  requests: Family<Counter>,
  drops: Family<Counter>,
  invalid: Family<Counter>,
): ContractCounters => ({
  ok: requests.of(template, 'ok'),
  failed: (code) => requests.of(template, code).add(),
  dropped: (reason) => drops.of(template, reason).add(),
  invalid: invalid.of(template),
});
