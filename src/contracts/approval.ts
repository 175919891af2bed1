// A question to people that a job waits for (worker 11), as its bucket keeps it: created once, decided by compare-and-set.
import { Type } from 'typebox';
import { ApprovalVerdict } from './assignment.ts';
import type { BucketSpec } from './bucket.ts';
import { keyOf } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id, Key, maybe, OpenObject, Text, Word } from './fields.ts';

const DAY_MS = 86_400_000;

export const approvalBucket: BucketSpec = { name: 'approvals', ttlMs: 30 * DAY_MS, bytesMax: 268_435_456 };
export const approvalKey = (tenantId: string, approvalId: string): string => keyOf(tenantId, approvalId);

const Approval = Type.Object({
  version: Type.Literal('2'),
  // `apr_` and the assignment's id: one question for each job.
  approval_id: Id,
  tenant_id: Id,
  job_id: Id,
  assignment_id: Id,
  title: Text,
  body: maybe(Type.String({ maxLength: 16_384 })),
  artefacts: maybe(Type.Array(OpenObject, { maxItems: 32 })),
  options: Type.Array(Word, { minItems: 1, maxItems: 16 }),
  // `key:<id>`, `user:<id>` or `role:<name>`.
  approvers: Type.Array(Key, { minItems: 1, maxItems: 64 }),
  quorum: Type.Integer({ minimum: 1, maximum: 64 }),
  // Who asked, by key id; never one of those who decide.
  requester: maybe(Id),
  on_timeout: Type.Enum(['reject', 'approve', 'fail']),
  status: Type.Enum(['pending', 'decided', 'expired', 'cancelled']),
  votes: Type.Array(Type.Object({ approver: Key, option: Word, comment: maybe(Text), at_ms: Count })),
  verdict: maybe(ApprovalVerdict),
  created_at_ms: Count,
  expires_at_ms: Count,
});
export type Approval = Type.Static<typeof Approval>;

export const approval = payload('beamline.job.Approval', '2', Approval);
