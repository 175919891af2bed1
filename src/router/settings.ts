// What a router is told; milliseconds and counts, the keys of the configuration.

export interface RouterSettings {
  readonly id: string;
  readonly accept_wait_ms: number;
  readonly in_flight_max: number;
  /** Longest time of all extensions of a request: a gateway that hears nothing for longer asks another router. */
  readonly extensions_ms: number;
  readonly heartbeat_ms: number;
  readonly silence_ms: number;
  /** Longest age of a worker's last heartbeat before it counts as lost. */
  readonly worker_lost_ms: number;
  /** Assignments of one tenant on the streams; 0: by the slots of the fleet. */
  readonly dispatch_window: number;
  /** Jobs of one tenant that have not ended. */
  readonly jobs_outstanding: number;
  /** What the bucket of jobs may weigh. */
  readonly jobs_bytes_max: number;
  /** How long it keeps what is not written any more. */
  readonly jobs_retention_hours: number;
  readonly sweep_ms: number;
  /** Output tokens that budgets of tenants hold for a request that names no maximum. */
  readonly budget_output_tokens: number;
}
