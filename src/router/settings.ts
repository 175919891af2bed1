// What a router is told; milliseconds and counts, the keys of the configuration.

export interface RouterSettings {
  readonly id: string;
  readonly accept_wait_ms: number;
  readonly in_flight_max: number;
  readonly heartbeat_ms: number;
  readonly silence_ms: number;
  /** Longest age of a worker's last heartbeat before it counts as lost. */
  readonly worker_lost_ms: number;
}
