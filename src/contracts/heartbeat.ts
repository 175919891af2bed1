// A worker says that it lives, and how busy it is (contracts 4.6).
import { Type } from 'typebox';
import { Overload } from './assignment.ts';
import { eventContract, payload } from './contract.ts';
import { Count, Id, maybe, OpenObject } from './fields.ts';

const Share = Type.Number({ minimum: 0, maximum: 1 });
const SlotUse = Type.Object({ active: Count, limit: Count, queued: Count });

const WorkerHeartbeat = Type.Object({
  version: Type.Literal('1'),
  worker_id: Id,
  // ISO 8601 UTC, the only such time on the wire.
  timestamp: Type.String({ minLength: 20, maxLength: 35 }),
  status: Type.Enum(['starting', 'ready', 'busy', 'degraded', 'draining', 'stopped']),
  resources: Type.Object({ cpu: Share, gpu: Share, mem_bytes: Count, jobs_in_flight: Count }),
  pool: maybe(Id),
  slots: maybe(Type.Record(Type.String(), SlotUse)),
  overload_status: maybe(Overload),
  job_types: maybe(Type.Array(Id)),
  providers: maybe(Type.Array(Id)),
  protocol_versions: maybe(Type.Array(Id)),
  metadata: maybe(OpenObject),
});
export type WorkerHeartbeat = Type.Static<typeof WorkerHeartbeat>;

export const workerHeartbeat = eventContract({
  class: 'core_event',
  template: 'caf.worker.heartbeat.v1',
  headers: 'base_v1',
  message: payload('caf.worker.WorkerHeartbeat', '1', WorkerHeartbeat),
});
