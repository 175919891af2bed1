// What a bus counts, by the template of a contract: the children are resolved once per contract, not per message.
import type { UnreadableReason } from '../contracts/codec.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { HeaderRule } from './header-law.ts';

export type DropReason = 'pending_max' | 'no_reply_subject' | 'reply_lost' | 'stream_full' | 'exhausted';

/** What a message can break: the reasons of the codec, and the law of headers. */
export type Rule = UnreadableReason | HeaderRule;

/** The counters of one contract. */
export interface ContractCounters {
  readonly ok: Counter;
  failed(code: ErrorCode): void;
  dropped(reason: DropReason): void;
  /** A message off contract, which neither leaves nor enters. */
  violated(rule: Rule): void;
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
  const violations = metrics.counter({
    name: 'bus_contract_violations_total',
    help: 'Messages off contract, by what they break',
    labels: ['contract', 'rule'],
  });
  const known = new Map<string, ContractCounters>();
  return (template) => {
    let counters = known.get(template);
    if (counters === undefined) {
      counters = countersOf(template, requests, drops, violations);
      known.set(template, counters);
    }
    return counters;
  };
}

const countersOf = (
  template: string,
  requests: Family<Counter>,
  drops: Family<Counter>,
  violations: Family<Counter>,
): ContractCounters => ({
  ok: requests.of(template, 'ok'),
  failed: (code) => requests.of(template, code).add(),
  dropped: (reason) => drops.of(template, reason).add(),
  violated: (rule) => violations.of(template, rule).add(),
});

/** The rule that a fault of the codec or of the law of headers names. */
export const ruleOf = (fault: unknown): Rule =>
  fault instanceof BeamlineError ? ((fault.details['reason'] as Rule | undefined) ?? 'schema') : 'schema';
