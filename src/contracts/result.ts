// The stored end of one attempt that reached a provider; money depends on it (contracts 4.5).
import { Type } from 'typebox';
import { Overload } from './assignment.ts';
import { eventContract, payload } from './contract.ts';
import { Count, Id, maybe, ModelName, OpenObject, RunIds, Text, Usage, Usd, Word } from './fields.ts';

const ExecResult = Type.Object({
  version: maybe(Type.Literal('1')),
  assignment_id: maybe(Id),
  request_id: maybe(Id),
  tenant_id: Id,
  status: Type.Enum(['success', 'error', 'timeout', 'cancelled']),
  provider_id: maybe(Id),
  job: maybe(Type.Object({ type: maybe(Id), metadata: maybe(OpenObject) })),
  latency_ms: maybe(Count),
  cost: maybe(Usd),
  trace_id: maybe(Id),
  timestamp: maybe(Count),
  error_code: maybe(Id),
  error_message: maybe(Text),
  error: maybe(
    Type.Object({
      class: Id,
      retryable: Type.Boolean(),
      detail_code: maybe(Id),
      retry_after_ms: maybe(Count),
      http_status: maybe(Count),
    }),
  ),
  attempt: maybe(Count),
  worker_id: maybe(Id),
  model: maybe(ModelName),
  finish_reason: maybe(Word),
  ttft_ms: maybe(Count),
  committed: maybe(Type.Boolean()),
  retries_used: maybe(Count),
  shadow: maybe(Type.Boolean()),
  // What a durable attempt made: inline, or a blob where it is larger.
  output: maybe(Type.Unknown()),
  output_ref: maybe(Type.String({ minLength: 1, maxLength: 512 })),
  ...RunIds,
  queue_depth: maybe(Count),
  overload_status: maybe(Overload),
  usage: maybe(Usage),
});
export type ExecResult = Type.Static<typeof ExecResult>;

export const execResult = eventContract({
  class: 'jetstream_event',
  template: 'caf.exec.result.v1',
  headers: 'jetstream_v1',
  message: payload('caf.exec.ExecResult', '1', ExecResult, ({ output }) => output),
});

/**
 * What its stream knows it by. One that was measured is never taken for a repeat of a guess about the same attempt, or of
 * a failure of which nobody knows what it took (contracts 6). One that a message asks for again is not taken for the one
 * that was lost: the job and the ledger know both by their attempt.
 */
export function resultMessageId(
  { tenant_id, assignment_id, attempt = 1, status, usage }: ExecResult,
  askedBy?: number,
): string {
  const again = askedBy === undefined ? '' : `:again:${askedBy}`;
  const id = `res:${tenant_id}:${assignment_id}:${attempt}${again}`;
  if (usage === undefined) return status === 'success' ? id : `${id}:none`;
  return usage.estimated === true ? `${id}:est` : id;
}
