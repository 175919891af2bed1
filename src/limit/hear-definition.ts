// What a bucket says of the budgets that are made while processes run, as each process takes it.
// D1. A definition that nobody can read is told and passed over; one of the configuration wins over one of its id.
import { type Budget, budget as contract, definitionKey, definitionOf } from '../contracts/budget.ts';
import { readRecord } from '../contracts/codec.ts';
import type { Log } from '../telemetry/log.ts';
import type { BudgetDefinitions } from './budget-definitions.ts';

/** An entry of the bucket. */
interface Told {
  readonly key: string;
  readonly value: string;
  readonly deleted: boolean;
}

interface Hearing {
  readonly definitions: BudgetDefinitions;
  readonly log: Log;
  /** Absent: all; what is not for this process is as if it were not there. */
  readonly isFor?: (budget: Budget) => boolean;
}

/** May be called again with what was heard before. */
export function hearDefinition({ key, value, deleted }: Told, { definitions, log, isFor }: Hearing): void {
  const named = definitionOf(key);
  if (named === undefined) return;
  if (deleted) return definitions.remove(named.tenant_id, named.id);
  const heard = readRecord(contract, value);
  if (heard === undefined || definitionKey(heard) !== key) return log.error('budget_unreadable', { source: key });
  if (isFor?.(heard) === false) return definitions.remove(named.tenant_id, named.id);
  if (!definitions.set(heard)) log.warn('budget_of_configuration_wins', { source: heard.id });
}
