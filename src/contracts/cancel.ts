// Stop an assignment, or one attempt of it; idempotent, and remembered when it comes first (contracts 4.8).
import { Type } from 'typebox';
import { eventContract, payload } from './contract.ts';
import { Count, Id, maybe } from './fields.ts';

const REASONS = [
  'client_disconnected',
  'client_cancel',
  'client_too_slow',
  'deadline',
  'superseded',
  'lost_race',
  'shutdown',
  'admin',
] as const;
export type CancelReason = (typeof REASONS)[number];

const Cancel = Type.Object({
  version: Type.Literal('2'),
  tenant_id: Id,
  assignment_id: Id,
  requested_at_ms: Count,
  attempt: maybe(Count),
  delivered: maybe(Type.Object({ chunks: maybe(Count), output_tokens: maybe(Count) })),
  reason: Type.Enum([...REASONS]),
});
export type Cancel = Type.Static<typeof Cancel>;

export const cancel = eventContract({
  class: 'core_event',
  template: 'caf.exec.cancel.v2',
  headers: 'base_v2',
  message: payload('caf.exec.Cancel', '2', Cancel),
});
