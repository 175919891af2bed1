// Budgets and quotas that the operator sets (gateway 7.2).
import { Type } from 'typebox';
import { entry, integer, share, text, token } from './setting.ts';

const SCOPES = ['tenant', 'key', 'user', 'policy', 'provider', 'tag'] as const;

const budget = entry({
  id: token('Identifier of the budget, unique for its tenant.'),
  tenant: token('Identifier of the tenant.'),
  scope: Type.Enum([...SCOPES], { default: 'tenant', description: 'Who spends from it.' }),
  subject: text('Id of the key, user, policy or provider, or a tag; `*` gives each a budget of its own.', {
    default: '*',
  }),
  unit: Type.Enum(['micro_usd', 'tokens', 'requests'], { default: 'micro_usd', description: 'What is counted.' }),
  limit: integer(0, 0, Number.MAX_SAFE_INTEGER, 'How much of the unit may be spent in a window.'),
  window: Type.Enum(['hour', 'day', 'month', 'total'], { default: 'month', description: 'Calendar window in UTC.' }),
  action: Type.Enum(['block', 'warn'], { default: 'block', description: 'What happens when it is spent.' }),
  warn_at: share(0.8, 'Share of the limit at which a warning is logged.'),
});

export const budgetsSchema = Type.Array(budget, {
  maxItems: 100_000,
  default: [],
  description:
    'Budgets and quotas, the same for gateways and routers; what falls under a spent one that blocks is refused before it runs.',
});
