// Calendar windows in UTC (gateway 7.2).
import type { BudgetWindow } from '../contracts/budget.ts';

/** The start of the window that holds the moment, in epoch milliseconds; 0 for `total`. */
export function windowStartMs(window: BudgetWindow, epochMs: number): number {
  const at = new Date(epochMs);
  switch (window) {
    case 'hour':
      return at.setUTCMinutes(0, 0, 0);
    case 'day':
      return at.setUTCHours(0, 0, 0, 0);
    case 'month':
      return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
    case 'total':
      return 0;
  }
}

/** The moment at which the window ends and another begins; undefined for `total`, which never does. */
export function windowEndMs(window: BudgetWindow, epochMs: number): number | undefined {
  const at = new Date(windowStartMs(window, epochMs));
  switch (window) {
    case 'hour':
      return at.setUTCHours(at.getUTCHours() + 1);
    case 'day':
      return at.setUTCDate(at.getUTCDate() + 1);
    case 'month':
      return at.setUTCMonth(at.getUTCMonth() + 1);
    case 'total':
      return undefined;
  }
}
