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
  jetstream_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version', 'x_msg_id'],
    optional: ['x_request_id', 'x_assignment_id', 'x_sent_at_ms', 'x_producer', 'x_schema_id'],
  },
  dlq_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version', 'x_msg_id', 'x_dlq_reason', 'x_original_subject'],
    optional: [
      'x_original_msg_id',
      'x_request_id',
      'x_assignment_id',
      'x_retry_count',
      'x_sent_at_ms',
      'x_first_seen_ms',
      'x_last_seen_ms',
    ],
  },
  request_reply_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version'],
    optional: ['x_request_id', 'x_sent_at_ms'],
  },
  frames_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version'],
    optional: ['x_request_id', 'x_assignment_id'],
  },
  admin_v2: {
    required: ['x_trace_id', 'x_tenant_id', 'x_contract_version', 'authorization'],
    optional: ['x_request_id', 'x_sent_at_ms'],
  },
} as const satisfies Record<string, { required: readonly string[]; optional: readonly string[] }>;

export type HeaderSet = keyof typeof HEADER_SETS;

/** What ties a message to its request; `-` stands for no tenant. */
export interface Correlation {
  readonly traceId: string;
  readonly tenantId: string;
  /** `Bearer` and the caller's credential; it travels with `admin_v2` only. */
  readonly authorization?: string | undefined;
}

/** Whether messages of the set carry the caller's credential. */
export const carriesCredential = (set: HeaderSet): boolean => set === 'admin_v2';

/** Whether messages of the set carry the id that their stream deduplicates by. */
export const carriesMessageId = (set: HeaderSet): boolean => set === 'jetstream_v2' || set === 'dlq_v2';

/** The headers of one message. Ids are printable ASCII without spaces, so they need no encoding; a credential has one. */
export function headersOf(set: HeaderSet, correlation: Correlation): readonly (readonly [string, string])[] {
  const { traceId, tenantId, authorization } = correlation;
  if (!set.endsWith('_v2')) {
    return [
      ['trace_id', traceId],
      ['tenant_id', tenantId],
    ];
  }
  const headers: [string, string][] = [
    ['x_trace_id', traceId],
    ['x_tenant_id', tenantId],
    ['x_contract_version', 'v2'],
  ];
  if (authorization !== undefined && carriesCredential(set)) headers.push(['authorization', authorization]);
  return headers;
}
