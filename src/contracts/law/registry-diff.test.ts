import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { emitSchema, PAYLOADS } from '../registry.ts';
import { diffLaws, type Law, type LawChange } from './registry-diff.ts';
import { membersOf, registryOf } from './registry-shape.ts';

const TEXT = readFileSync('contracts/registry.json', 'utf8');
const SCHEMAS = new Map(
  PAYLOADS.map((payload) => [`${payload.id}@${payload.version}`, JSON.parse(emitSchema(payload)) as unknown]),
);
const LAW: Law = { registry: registryOf(JSON.parse(TEXT)), schemas: SCHEMAS };

/** The law with its text changed by one replacement within the entry of a subject. */
function changed(subject: string, from: string | RegExp, to: string): Law {
  const tree = JSON.parse(TEXT) as { subjects: { name: string }[] };
  const subjects = tree.subjects.map((entry) => {
    if (entry.name !== subject) return entry;
    const text = JSON.stringify(entry);
    const after = text.replace(from, to);
    assert.notEqual(after, text, `nothing to change in ${subject}`);
    return JSON.parse(after) as { name: string };
  });
  return { ...LAW, registry: registryOf({ ...tree, subjects }) };
}

/** The law with a header set, or a stream, replaced in its text. */
function edited(from: string | RegExp, to: string): Law {
  const after = JSON.stringify(JSON.parse(TEXT)).replace(from, to);
  assert.notEqual(after, JSON.stringify(JSON.parse(TEXT)));
  return { ...LAW, registry: registryOf(JSON.parse(after)) };
}

function withSchema(name: string, change: (schema: Record<string, unknown>) => object): Law {
  const schema = membersOf(SCHEMAS.get(name));
  return { ...LAW, schemas: new Map([...SCHEMAS, [name, change({ ...schema })]]) };
}

const without = (law: Law, subject: string): Law => ({
  ...law,
  registry: { ...law.registry, subjects: law.registry.subjects.filter(({ name }) => name !== subject) },
});

const V1 = 'beamline.router.v1.decide';
const V2 = 'beamline.router.v2.decide';
const PLANNED = 'beamline.event.v2.<tenant>.<topic>';
const brief = ({ subject, part, kind, path, breaks, breaking }: LawChange): string =>
  [
    breaking ? 'breaking' : 'additive',
    subject,
    part,
    kind,
    path,
    [...(breaks.consumer ? ['consumer'] : []), ...(breaks.producer ? ['producer'] : [])].join('+') || 'nobody',
  ].join(' ');

const CASES: readonly (readonly [what: string, old: Law, now: Law, told: readonly string[]])[] = [
  ['nothing', LAW, LAW, []],
  ['a subject that came', without(LAW, V2), LAW, [`additive ${V2} subject subject_added / nobody`]],
  ['a frozen subject that went', LAW, without(LAW, V1), [`breaking ${V1} subject subject_removed / consumer+producer`]],
  ['a planned subject that went', LAW, without(LAW, PLANNED), [`additive ${PLANNED} subject subject_removed / nobody`]],
  [
    'a deprecated subject that went',
    changed(V2, '"active"', '"deprecated"'),
    without(LAW, V2),
    [`additive ${V2} subject subject_removed / nobody`],
  ],
  [
    'a subject that is deprecated',
    LAW,
    changed(V2, '"active"', '"deprecated"'),
    [`additive ${V2} subject status_changed /status nobody`],
  ],
  [
    'a subject that is withdrawn',
    LAW,
    changed(V2, '"active"', '"draft"'),
    [`breaking ${V2} subject status_changed /status consumer+producer`],
  ],
  [
    'a frozen subject that thaws',
    LAW,
    changed(V1, '"frozen"', '"active"'),
    [`breaking ${V1} subject status_changed /status consumer+producer`],
  ],
  [
    'another class',
    LAW,
    changed(V2, '"request_reply"', '"core_event"'),
    [`breaking ${V2} subject class_changed /class consumer+producer`],
  ],
  [
    'other senders',
    LAW,
    changed(V2, '"gateway_to_router"', '"worker_to_router"'),
    [`breaking ${V2} subject direction_changed /direction consumer+producer`],
  ],
  [
    'another key of repeats',
    LAW,
    changed(V2, '"x_request_id"', '"request_id"'),
    [`breaking ${V2} subject idempotency_changed /idempotency consumer+producer`],
  ],
  ['a purpose in other words', LAW, changed(V2, /"purpose":"[^"]*"/, '"purpose":"To ask"'), []],
  [
    'a planned subject may change',
    LAW,
    changed(PLANNED, '"gateway_and_router_to_gateway"', '"gateway_to_gateway"'),
    [`additive ${PLANNED} subject direction_changed /direction consumer+producer`],
  ],
  [
    'a header that is demanded',
    LAW,
    edited(/("request_reply_v2":\{"required":\[)/, '$1"x_request_id",'),
    [
      'beamline.ledger.v2.<op>',
      'beamline.router.v2.decide',
      'beamline.router.v2.jobs.<op>',
      'beamline.router.v2.status.backpressure',
      'caf.exec.call.v2.<pool>',
    ].map((subject) => `breaking ${subject} headers header_required /x_request_id consumer`),
  ],
  [
    'an optional header of version 2',
    LAW,
    edited(/("frames_v2":\{[^}]*"optional":\[)/, '$1"x_new",'),
    ['additive beamline.exec.v2.frames.<gateway_id>.<stream_id> headers header_added /x_new nobody'],
  ],
  [
    'an optional header of version 1',
    LAW,
    edited(/("base_v1":\{[^}]*"optional":\[)/, '$1"x_new",'),
    [
      'breaking caf.exec.assign.v1.ack headers header_added /x_new nobody',
      'breaking caf.worker.heartbeat.v1 headers header_added /x_new nobody',
    ],
  ],
  [
    'an optional field',
    LAW,
    withSchema('caf.exec.Cancel@2', ({ properties, ...rest }) => ({
      ...rest,
      properties: { ...(properties as object), note: { type: 'string' } },
    })),
    ['additive caf.exec.cancel.v2 payload property_added /note nobody'],
  ],
  [
    'a required field of a reply',
    LAW,
    withSchema('beamline.router.DecideResponse@2', ({ required, ...rest }) => ({
      ...rest,
      required: [...(required as string[]), 'stream'],
    })),
    [`breaking ${V2} reply required_added /stream consumer`],
  ],
  [
    'another schema',
    LAW,
    changed(V2, '"beamline.router.DecideRequest"', '"beamline.router.Request"'),
    [`breaking ${V2} payload payload_changed / consumer+producer`],
  ],
  [
    'no reply any more',
    LAW,
    changed(V2, /,"reply":\{[^}]*\}/, ''),
    [`breaking ${V2} reply reply_changed / consumer+producer`],
  ],
  [
    'another durable',
    LAW,
    edited('"ledger-usage"', '"ledger-events"'),
    ['breaking beamline.usage.v1.metered stream stream_changed / consumer+producer'],
  ],
  [
    'another limit of a stream',
    LAW,
    edited('"max_age_ms":2592000000', '"max_age_ms":864000000'),
    ['additive beamline.router.dlq.v2 stream stream_changed / nobody'],
  ],
];

for (const [what, old, now, told] of CASES) {
  test(`the law's diff tells ${what}`, () => {
    const changes = diffLaws(old, now);
    assert.deepEqual(changes.map(brief), told);
    for (const { message } of changes) assert.match(message, /\w/);
  });
}
