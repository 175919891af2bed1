// The settings of a worker (worker 16).
import { Type } from 'typebox';
import { reachSettings } from './blocks-schema.ts';
import { operationsSettings } from './operations-schema.ts';
import { integer, section, span, text, token } from './setting.ts';

const jobShare = (value: number, description: string) =>
  Type.Number({ default: value, minimum: 0.05, maximum: 1, description });

export const workerSchema = section({
  id: Type.Optional(token('Identifier of this process; absent generates one.')),
  pool: token('Pool that this worker serves.', { default: 'default' }),
  data_dir: Type.Optional(
    text(
      'Folder, of this process only, for the results that are not yet confirmed; absent is `worker` below `data_dir`, else a crash loses those of calls.',
    ),
  ),
  http: operationsSettings('worker'),
  slots: section({
    io: integer(256, 1, 4096, 'Attempts that run at a time.'),
    cpu: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 4096, description: 'Jobs that compute at a time; absent is one per core.' }),
    ),
  }),
  queue: section({
    max: integer(1024, 1, 100_000, 'Calls that wait for a slot; more are refused.'),
    tenant_max: integer(
      256,
      1,
      100_000,
      'Calls of one tenant that wait for a slot, at most `queue.max`; more are refused.',
    ),
    call_wait_ms: span(1000, 0, 'Longest wait of a call for a slot.'),
  }),
  jobs_max_share: jobShare(0.75, 'Largest share of the slots that jobs hold.'),
  jobs_min_share: jobShare(0.25, 'Share of the slots that is kept for jobs while some wait.'),
  tenant_max_share: jobShare(0.5, 'Largest share of the slots of one tenant while others have work too.'),
  heartbeat_ms: span(5000, 10, 'Time between two heartbeats.'),
  outbox: section({
    sync_ms: integer(50, 0, 1000, 'Longest time that a result is not on the disk; 0 waits for the disk with each.'),
    max_bytes: integer(
      268_435_456,
      1_048_576,
      17_179_869_184,
      'Size of unconfirmed results from which new work is refused.',
    ),
  }),
  ...reachSettings,
  shutdown: section({
    timeout_ms: integer(30_000, 1000, 3_600_000, 'Time that running attempts have after the signal.'),
  }),
});
