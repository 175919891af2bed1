// Header sets (contracts 1.4): which NATS headers a message carries, and the few that are written.
// Values come from ids that our own code made or parsed; nothing of a caller is copied.

export const HEADER_SETS = {
  base_v1: { required: [], optional: ['trace_id', 'tenant_id', 'version'] },
  jetstream_v1: { required: [], optional: ['trace_id', 'tenant_id', 'version', 'nats-msg-id'] },
  request_reply_v1: { required: [], optional: ['trace_id', 'tenant_id'] },
  base_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version'],
    optional: ['x_request_id', 'x_assignment_id', 'x_retry_count', 'x_sent_at_ms'],
  },
  request_reply_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version'],
    optional: ['x_request_id', 'x_sent_at_ms'],
  },
  frames_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version'],
    optional: ['x_request_id', 'x_assignment_id'],
  },
} as const satisfies Record<string, { required: readonly string[]; optional: readonly string[] }>;

export type HeaderSet = keyof typeof HEADER_SETS;

/** What ties a message to its request; `-` stands for no tenant. */
export interface Correlation {
  readonly traceId: string;
  readonly tenantId: string;
}

/** The headers of one message. Ids are printable ASCII without spaces, so they need no encoding. */
export function headersOf(set: HeaderSet, correlation: Correlation): readonly (readonly [string, string])[] {
  return set.endsWith('_v2')
    ? [
        ['x_trace_id', correlation.traceId],
        ['x_tenant_id', correlation.tenantId],
        ['x_contract_version', 'v2'],
      ]
    : [
        ['trace_id', correlation.traceId],
        ['tenant_id', correlation.tenantId],
      ];
}
