// Where router, worker and ledger show health and metrics when they run alone (worker 15, operations 12).
import { Type } from 'typebox';
import { section, text } from './setting.ts';

export const OPERATIONS_PORTS = { router: 9001, worker: 9091, ledger: 9093 } as const;

/** Roles with pages of their own; the gateway shows the same on its edge. */
export type OperatedRole = keyof typeof OPERATIONS_PORTS;

export const operationsSettings = (role: OperatedRole) =>
  section({
    host: text('Address that health and metrics bind while the role runs alone.', { default: '127.0.0.1' }),
    port: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 65_535,
        description: `Port of health and metrics; 0 takes a free one, absent is ${OPERATIONS_PORTS[role]} or, where that is taken, a free one: the log tells it.`,
      }),
    ),
  });
