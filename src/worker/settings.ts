// What a worker is told; milliseconds and counts, the keys of the configuration.

export interface WorkerSettings {
  readonly id: string;
  readonly pool: string;
  readonly slots: { readonly io: number; readonly cpu: number };
  readonly queue: { readonly max: number; readonly tenant_max: number; readonly call_wait_ms: number };
  /** Shares of the places of a class, from 0 to 1. */
  readonly jobs_max_share: number;
  readonly jobs_min_share: number;
  readonly tenant_max_share: number;
  readonly heartbeat_ms: number;
  readonly shutdown: { readonly timeout_ms: number };
  /** Longest gap between two frames of a live call. */
  readonly frame_heartbeat_ms: number;
  readonly first_chunk_ms: number;
  readonly idle_ms: number;
}
