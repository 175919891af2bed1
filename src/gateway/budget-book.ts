// Budgets as administrators see and change them (gateway 14.4): definitions in a bucket that every gateway watches, beside
// those of the configuration, and what is spent and reserved of each in the window of now.
// D1. A definition is written before it is answered; other gateways hear of it a moment later.
// D2. While the bucket is away the last word holds, and none can be said.
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import {
  type Budget,
  budget as budgetContract,
  budgetBucket,
  type BudgetEntry,
  budgetEntry,
  definitionKey,
  definitionKeys,
  definitionKeysOf,
  entryKeysOf,
} from '../contracts/budget.ts';
import { readRecord } from '../contracts/codec.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { BudgetDefinitions } from '../limit/budget-definitions.ts';
import { availableIn } from '../limit/budget-entry.ts';
import { hearDefinition } from '../limit/hear-definition.ts';
import { windowEndMs, windowStartMs } from '../limit/window.ts';
import type { Log } from '../telemetry/log.ts';

/** Of one tenant, beside those of the configuration. */
const DEFINITIONS_MAX = 1_000;
const ACCOUNTS_MAX = 200;

/** What may be changed; what else a budget says makes it another one. */
export type BudgetChange = Partial<Pick<Budget, 'limit' | 'action' | 'warn_at'>>;

export interface Account {
  readonly subject: string;
  /** As folded by the ledger. */
  readonly spent: number;
  /** Held by processes: for what runs, for what is not folded yet, and ahead of need. */
  readonly reserved: number;
  readonly remaining: number;
}

export interface BudgetState extends Omit<Account, 'subject'> {
  readonly budget: Budget;
  readonly isConfigured: boolean;
  /** Epoch; undefined for a window without an end. */
  readonly resetsAtMs: number | undefined;
  /** Those that used most, of a budget that gives each its own. */
  readonly accounts: readonly Account[] | undefined;
}

export interface BudgetBookDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  readonly definitions: BudgetDefinitions;
}

export class BudgetBook implements AsyncDisposable {
  readonly #deps: BudgetBookDeps;
  readonly #bucket: KeyValue;
  readonly #closing = new AbortController();

  static async open(deps: BudgetBookDeps): Promise<BudgetBook> {
    const bucket = await deps.bus.openBucket(budgetBucket);
    const book = new BudgetBook(deps, bucket);
    // What is there holds for the first request already.
    for (const entry of await bucket.entries(definitionKeys)) hearDefinition(entry, deps);
    const { signal } = book.#closing;
    const hear = (entry: Entry): void => hearDefinition(entry, deps);
    void followBucket({ ...deps, bucket, signal, unwatched: 'budgets_unwatched', pattern: definitionKeys, hear });
    return book;
  }

  private constructor(deps: BudgetBookDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
  }

  /** By id. */
  of(tenantId: string): readonly Budget[] {
    return this.#deps.definitions.of(tenantId).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Throws `not_found`. */
  find(tenantId: string, id: string): Budget {
    const found = this.#deps.definitions.find(tenantId, id);
    if (found === undefined) throw new BeamlineError('not_found', 'The tenant has no such budget.');
    return found;
  }

  /** Reads every window of the budget. Throws `unavailable`. */
  async state(of: Budget): Promise<BudgetState> {
    const { definitions, timers } = this.#deps;
    const nowMs = timers.clock.epochMs();
    const accounts = (await this.#bucket.entries(entryKeysOf(of)))
      .flatMap(({ value }) => currentIn(value, of, nowMs))
      .map((entry) => accountOf(entry, of.limit));
    return {
      budget: of,
      isConfigured: definitions.isConfigured(of.tenant_id, of.id),
      spent: sumOf(accounts, 'spent'),
      reserved: sumOf(accounts, 'reserved'),
      remaining: accounts.reduce((least, { remaining }) => Math.min(least, remaining), of.limit),
      resetsAtMs: windowEndMs(of.window, nowMs),
      accounts:
        of.subject === '*'
          ? accounts.toSorted((a, b) => b.spent + b.reserved - a.spent - a.reserved).slice(0, ACCOUNTS_MAX)
          : undefined,
    };
  }

  /** Throws `conflict` for an id that is there, and `capacity_exceeded`. */
  async create(made: Budget): Promise<void> {
    const { definitions } = this.#deps;
    const { tenant_id: tenantId, id } = made;
    const taken = new BeamlineError('conflict', 'The tenant has a budget of this id.');
    if (definitions.isConfigured(tenantId, id)) throw taken;
    const stored = await this.#bucket.entries(definitionKeysOf(tenantId));
    if (stored.length >= DEFINITIONS_MAX) {
      throw new BeamlineError('capacity_exceeded', `A tenant has at most ${DEFINITIONS_MAX} budgets.`);
    }
    await this.#bucket.update(definitionKey(made), JSON.stringify(made), 0).catch((fault: unknown) => {
      throw BeamlineError.from(fault).code === 'precondition_failed' ? taken : fault;
    });
    definitions.set(made);
  }

  /** Throws `not_found`, and `conflict` for one of the configuration or when two change it at once. */
  async change(tenantId: string, id: string, change: BudgetChange): Promise<Budget> {
    const { definitions } = this.#deps;
    this.#mustBeOurs(tenantId, id);
    const stored = await this.#bucket.get(definitionKey({ tenant_id: tenantId, id }));
    const old = stored === undefined ? undefined : readRecord(budgetContract, stored.value);
    if (stored === undefined || old === undefined) {
      throw new BeamlineError('not_found', 'The tenant has no such budget.');
    }
    const changed = { ...old, ...change };
    await this.#bucket.update(stored.key, JSON.stringify(changed), stored.revision).catch((fault: unknown) => {
      if (BeamlineError.from(fault).code !== 'precondition_failed') throw fault;
      throw new BeamlineError('conflict', 'Somebody else has just changed the budget.');
    });
    definitions.set(changed);
    return changed;
  }

  /** With all that is reserved in it. Throws `not_found`, and `conflict` for one of the configuration. */
  async remove(tenantId: string, id: string): Promise<void> {
    this.#mustBeOurs(tenantId, id);
    const key = definitionKey({ tenant_id: tenantId, id });
    if ((await this.#bucket.get(key)) === undefined) {
      throw new BeamlineError('not_found', 'The tenant has no such budget.');
    }
    await this.#bucket.delete(key);
    this.#deps.definitions.remove(tenantId, id);
    const entries = await this.#bucket.entries(entryKeysOf({ tenant_id: tenantId, id }));
    await Promise.all(entries.map((entry) => this.#bucket.erase(entry.key)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    return Promise.resolve();
  }

  #mustBeOurs(tenantId: string, id: string): void {
    if (!this.#deps.definitions.isConfigured(tenantId, id)) return;
    throw new BeamlineError('conflict', 'The budget stands in the configuration, and is changed there.');
  }
}

function currentIn(text: string, { scope, unit, window }: Budget, nowMs: number): readonly BudgetEntry[] {
  const value = readRecord(budgetEntry, text);
  if (value === undefined) return [];
  const isCurrent = value.from_ms === windowStartMs(window, nowMs) && value.until_ms === windowEndMs(window, nowMs);
  return isCurrent && value.scope === scope && value.unit === unit ? [value] : [];
}

function accountOf(entry: BudgetEntry, limit: number): Account {
  const reserved = Object.values(entry.leases).reduce((sum, { amount }) => sum + amount, 0);
  return { subject: entry.subject, spent: entry.settled, reserved, remaining: availableIn({ ...entry, limit }) };
}

const sumOf = (accounts: readonly Account[], what: 'spent' | 'reserved'): number =>
  accounts.reduce((sum, account) => sum + account[what], 0);
