// The budgets of the configuration, as gateways and routers know budgets.
import type { Config } from '../config/schema.ts';
import type { Budget } from '../contracts/budget.ts';

export const budgetsOf = ({ budgets }: Config): Budget[] =>
  budgets.map(({ id, tenant, scope, subject, unit, limit, window, action, warn_at }) => ({
    id,
    tenant_id: tenant,
    scope,
    subject: scope === 'tenant' ? '-' : subject,
    unit,
    limit,
    window,
    action,
    warn_at,
  }));
