// Which budgets there are, by tenant. Those of the configuration stay; the others come and go while the process runs.
import type { Budget } from '../contracts/budget.ts';

/** `budget` is undefined for one that is gone. */
export type DefinitionListener = (tenantId: string, budgetId: string, budget: Budget | undefined) => void;

const NONE: readonly Budget[] = Object.freeze([]);

export class BudgetDefinitions {
  readonly #configured = new Set<string>();
  readonly #byTenant = new Map<string, Map<string, Budget>>();
  /** As lists, because every request walks through one. */
  readonly #lists = new Map<string, readonly Budget[]>();
  readonly #listeners: DefinitionListener[] = [];

  constructor(configured: readonly Budget[] = []) {
    for (const budget of configured) {
      this.#configured.add(nameOf(budget.tenant_id, budget.id));
      this.#put(budget);
    }
    for (const [tenantId, budgets] of this.#byTenant) this.#lists.set(tenantId, [...budgets.values()]);
  }

  of(tenantId: string): readonly Budget[] {
    return this.#lists.get(tenantId) ?? NONE;
  }

  find(tenantId: string, budgetId: string): Budget | undefined {
    return this.#byTenant.get(tenantId)?.get(budgetId);
  }

  isConfigured(tenantId: string, budgetId: string): boolean {
    return this.#configured.has(nameOf(tenantId, budgetId));
  }

  /** Hears every change from now on. For those who live as long as this. */
  onChange(listener: DefinitionListener): void {
    this.#listeners.push(listener);
  }

  /** False for the id of one of the configuration, which wins. */
  set(budget: Budget): boolean {
    const { tenant_id: tenantId, id } = budget;
    if (this.isConfigured(tenantId, id)) return false;
    this.#put(budget);
    this.#told(tenantId, id, budget);
    return true;
  }

  remove(tenantId: string, budgetId: string): void {
    if (this.isConfigured(tenantId, budgetId)) return;
    if (this.#byTenant.get(tenantId)?.delete(budgetId) === true) this.#told(tenantId, budgetId, undefined);
  }

  #put(budget: Budget): void {
    const ofTenant = this.#byTenant.get(budget.tenant_id) ?? new Map<string, Budget>();
    this.#byTenant.set(budget.tenant_id, ofTenant.set(budget.id, budget));
  }

  #told(tenantId: string, budgetId: string, budget: Budget | undefined): void {
    const budgets = this.#byTenant.get(tenantId);
    if (budgets === undefined || budgets.size === 0) {
      this.#byTenant.delete(tenantId);
      this.#lists.delete(tenantId);
    } else this.#lists.set(tenantId, [...budgets.values()]);
    for (const hear of this.#listeners) hear(tenantId, budgetId, budget);
  }
}

/** Ids hold no line break. */
const nameOf = (tenantId: string, budgetId: string): string => `${tenantId}\n${budgetId}`;
