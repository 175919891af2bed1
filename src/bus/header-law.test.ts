import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headers, type Msg } from '@nats-io/transport-node';
import { HEADER_SETS, type HeaderSet } from '../contracts/headers.ts';
import { brokenBySent, headerCheck, headerFault } from './header-law.ts';
import { lawOf } from './nats-law.ts';

const V2 = 'x_trace_id: t-1\r\nx_tenant_id: acme\r\nx_contract_version: v2\r\n';
const MSG = `${V2}x_msg_id: m-1\r\n`;

const broken = (set: HeaderSet, lines: string, tenantId: unknown = 'acme', head = 'NATS/1.0\r\n') => {
  const bytes = new TextEncoder().encode(`${head}${lines}\r\n{"tenant_id":"umbrella"}\r\nx_trace_id: of the body`);
  return headerCheck(set).broken(bytes, bytes.indexOf(123), tenantId);
};

const cases: readonly (readonly [
  what: string,
  rule: string | undefined,
  set: HeaderSet,
  lines: string,
  tenantId?: unknown,
])[] = [
  ['all that is required', undefined, 'base_v2', V2],
  [
    'in another order, case and spelling',
    undefined,
    'base_v2',
    'X-CONTRACT-VERSION:v2\r\nX_Tenant-id:acme\r\nx-trace-id:t\r\n',
  ],
  ['more than is required', undefined, 'base_v2', `a: b\r\n${V2}traceparent: 00\r\nx_trace_ids: y\r\n`],
  ['spaces around a value', undefined, 'base_v2', V2.replace('acme', '  acme ')],
  ['line feeds alone', undefined, 'base_v2', V2.replaceAll('\r', '')],
  ['no headers', 'missing_header', 'base_v2', ''],
  ['a line without a colon', 'missing_header', 'base_v2', V2.replace('x_trace_id:', 'x_trace_id')],
  ['an empty value', 'missing_header', 'base_v2', V2.replace('t-1', '')],
  ['a tenant that is no id', 'missing_header', 'base_v2', V2.replace('acme', 'ac me')],
  ['a trace that is too long', 'missing_header', 'base_v2', V2.replace('t-1', 't'.repeat(129))],
  ['the names of v1', 'missing_header', 'base_v2', 'trace_id: t-1\r\ntenant_id: acme\r\nversion: 1\r\n'],
  ['another version', 'version', 'base_v2', V2.replace('v2', 'v3')],
  ['a longer version', 'version', 'base_v2', V2.replace('v2', 'v2x')],
  ['another tenant', 'tenant_mismatch', 'base_v2', V2.replace('acme', 'acmf')],
  ['a tenant that begins the same', 'tenant_mismatch', 'base_v2', V2.replace('acme', 'acme2')],
  ['no tenant', undefined, 'base_v2', V2.replace('acme', '-')],
  ['a payload without tenant', undefined, 'base_v2', V2, undefined],
  ['a payload whose tenant is no text', undefined, 'base_v2', V2, 7],
  ['both spellings, the same', undefined, 'base_v2', `${V2}x-tenant-id: acme\r\n`],
  ['both spellings, two values', 'header_twice', 'base_v2', `${V2}x-trace-id: t-2\r\n`],
  ['the tenant of v1 beside that of v2', 'tenant_mismatch', 'base_v2', `${V2}tenant_id: other\r\n`],
  ['no message id', 'missing_header', 'jetstream_v2', V2],
  ['a message id', undefined, 'jetstream_v2', MSG],
  ['half of a dead letter', 'missing_header', 'dlq_v2', `${MSG}x_dlq_reason: exhausted\r\n`],
  ['a dead letter', undefined, 'dlq_v2', `${MSG}x_dlq_reason: exhausted\r\nx_original_subject: a.b\r\n`],
  ['no credential', 'missing_header', 'admin_v2', V2],
  ['a credential', undefined, 'admin_v2', `${V2}Authorization: Bearer a b\r\n`],
  ['v1 without headers', undefined, 'base_v1', ''],
  ['v1 with the tenant of the payload', undefined, 'jetstream_v1', 'tenant_id: acme\r\n'],
  ['v1 with another tenant', 'tenant_mismatch', 'jetstream_v1', 'tenant_id: other\r\n'],
  ['v1 with another tenant in the name of v2', 'tenant_mismatch', 'request_reply_v1', 'X-Tenant-Id: other\r\n'],
];

for (const [what, rule, set, lines, ...tenant] of cases) {
  test(`${set}, ${what}: ${rule ?? 'in order'}`, () => {
    assert.equal(broken(set, lines, ...(tenant.length === 0 ? [] : [tenant[0] ?? null])), rule);
  });
}

test('every required header of every set is asked for', () => {
  for (const [set, { required }] of Object.entries(HEADER_SETS)) {
    const whole = required.map((name) => [name, name === 'x_contract_version' ? 'v2' : 'acme'] as const);
    const text = (but?: string) =>
      whole
        .filter(([name]) => name !== but)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('');
    assert.equal(broken(set as HeaderSet, text()), undefined, set);
    for (const name of required) assert.equal(broken(set as HeaderSet, text(name)), 'missing_header', `${set} ${name}`);
  }
});

test('a check forgets the message before', () => {
  const check = headerCheck('base_v2');
  const bytes = (lines: string) => new TextEncoder().encode(`NATS/1.0\r\n${lines}\r\n`);
  const of = (lines: string) => check.broken(bytes(lines), bytes(lines).length, 'acme');
  assert.deepEqual(
    [of(`${V2}x-trace-id: other\r\n`), of(V2), of(''), of(V2)],
    ['header_twice', undefined, 'missing_header', undefined],
  );
});

test('headers that the client library keeps in another way are read through its own writer', () => {
  const made = headers();
  for (const [name, value] of [
    ['x_trace_id', 't'],
    ['x_tenant_id', 'acme'],
    ['x_contract_version', 'v2'],
  ] as const)
    made.set(name, value);
  const law = lawOf('base_v2');
  assert.equal(law({ headers: made } as unknown as Msg, { tenant_id: 'acme' }), undefined);
  assert.equal(law({ headers: made } as unknown as Msg, { tenant_id: 'other' }), 'tenant_mismatch');
  assert.equal(law({ headers: undefined } as unknown as Msg, {}), 'missing_header');
});

test('a message that never was bytes is judged by what came with it', () => {
  const contract = { headers: 'jetstream_v2' } as const;
  const correlation = { traceId: 't', tenantId: 'acme' };
  const message = { tenant_id: 'acme' };
  const judged = (origin: object, set: HeaderSet | undefined = 'jetstream_v2') =>
    brokenBySent(set, { contract, origin, message });
  assert.equal(judged({ correlation, messageId: 'm' }), undefined);
  assert.equal(judged({ correlation }), 'missing_header');
  assert.equal(judged({ correlation }, 'jetstream_v1'), undefined);
  assert.equal(judged({ correlation: { ...correlation, tenantId: 'other' }, messageId: 'm' }), 'tenant_mismatch');
  const kept = { x_trace_id: 't', x_tenant_id: 'acme', x_contract_version: 'v2', x_msg_id: 'm' };
  assert.equal(brokenBySent('jetstream_v2', { contract: undefined, origin: { headers: kept }, message }), undefined);
  assert.equal(
    brokenBySent('jetstream_v2', { contract: undefined, origin: { headers: {} }, message }),
    'missing_header',
  );
});

test('what is broken has its intake code', () => {
  assert.deepEqual(
    (['missing_header', 'header_twice', 'tenant_mismatch', 'version'] as const).map(
      (rule) => headerFault(rule).details['intake'],
    ),
    ['CORRELATION_FIELDS_INVALID', 'CORRELATION_FIELDS_INVALID', 'CORRELATION_FIELDS_INVALID', 'VERSION_UNSUPPORTED'],
  );
});
