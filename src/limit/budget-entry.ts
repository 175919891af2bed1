// The arithmetic of one window of one budget, shared by all who lease from it and by the ledger who settles it. Pure.
// E1. What is available is the limit less what is settled and what is leased: no lease is given beyond it.
// E2. A lease whose holder is silent past its time is dropped once all of that time is folded; from then on usage rows
//     alone decide.
// E3. What nobody could read is not written: all that an entry holds would count nowhere.
import { type BudgetAccount, type BudgetEntry, budgetEntry } from '../contracts/budget.ts';
import { BeamlineError } from '../core/errors.ts';

export const newEntry = (account: BudgetAccount, limit: number): BudgetEntry => ({
  version: '2',
  ...account,
  limit,
  settled: 0,
  watermark_ms: 0,
  leases: {},
});

export function availableIn({ limit, settled, leases }: BudgetEntry): number {
  let free = limit - settled;
  for (const { amount } of Object.values(leases)) free -= amount;
  return Math.max(0, free);
}

/** What is settled and leased beyond the limit, which was lowered or met by costs that nobody expected. */
export function overdrawnIn({ limit, settled, leases }: BudgetEntry): number {
  let over = settled - limit;
  for (const { amount } of Object.values(leases)) over += amount;
  return Math.max(0, over);
}

/** The most that a holder may lease; less than 0 where others hold too much already. */
export const roomFor = ({ limit, settled, leases }: BudgetEntry, holder: string): number =>
  Object.entries(leases).reduce(
    (room, [name, { amount }]) => (name === holder ? room : room - amount),
    limit - settled,
  );

export const leaseOf = ({ leases }: BudgetEntry, holder: string): number => leases[holder]?.amount ?? 0;

export const holdOf = ({ leases }: BudgetEntry, holder: string): number => leases[holder]?.hold_until_ms ?? 0;

/** The entry with the holder's lease set; an amount of 0 removes it. The limit follows the budget's definition. */
export function withLease(
  entry: BudgetEntry,
  holder: string,
  lease: { readonly amount: number; readonly holdUntilMs: number },
  limit: number = entry.limit,
): BudgetEntry {
  const { [holder]: _, ...leases } = entry.leases;
  if (lease.amount > 0) leases[holder] = { amount: lease.amount, hold_until_ms: lease.holdUntilMs };
  return { ...entry, limit, leases };
}

/** The ledger's word: what is folded up to a moment, without the leases of holders that fell silent. */
export function withSettled(
  entry: BudgetEntry,
  of: { readonly settled: number; readonly watermarkMs: number; readonly isHeld: (holder: string) => boolean },
): BudgetEntry {
  const leases = Object.fromEntries(Object.entries(entry.leases).filter(([holder]) => of.isHeld(holder)));
  return { ...entry, settled: of.settled, watermark_ms: of.watermarkMs, leases };
}

/** As it is stored. Throws `internal` for one that could not be read again. */
export function entryText(entry: BudgetEntry): string {
  if (!budgetEntry.check(entry)) throw new BeamlineError('internal', 'the entry of a budget would be unreadable');
  return JSON.stringify(entry);
}
