// What a gateway is told; milliseconds, bytes and counts, the keys of the configuration.

export interface GatewaySettings {
  readonly http: {
    readonly host: string;
    /** 0 takes a free port. */
    readonly port: number;
    readonly headers_max_bytes: number;
    readonly headers_max_count: number;
    readonly headers_timeout_ms: number;
    readonly body_timeout_ms: number;
    readonly keep_alive_ms: number;
    readonly max_requests_per_socket: number;
    readonly max_connections: number;
    readonly body_limit: { readonly inference: number; readonly native: number };
    readonly deadline_ms: number;
  };
  readonly stream: { readonly heartbeat_ms: number; readonly buffer_bytes: number; readonly stall_ms: number };
  readonly backpressure: { readonly max_in_flight: number; readonly sample_ms: number };
  readonly auth: { readonly failures_per_minute: number };
  readonly shutdown: { readonly timeout_ms: number; readonly lame_duck_ms: number };
}
