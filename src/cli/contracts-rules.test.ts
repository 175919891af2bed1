// Each rule of the contract check by one wrong piece of the true material: it finds that, and no other rule says a word.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkLaw, type Finding, type RuleId, RULES } from '../contracts/law/rules.ts';
import {
  all,
  emitted,
  example,
  file,
  GONE,
  headerSet,
  inCode,
  law,
  more,
  NEW,
  renamed,
  since,
  type Spoil,
  TRUE,
  UNREADABLE,
} from './contracts-rules-fixture.ts';

const PLANNED = 'beamline.router.v2.ahead';
const HEARTBEAT = 'caf.worker.heartbeat.v1';
const MODEL = 'beamline.router.v2.status.backpressure';
const OWNER = TRUE.registry.ownership.find(({ subject }) => subject === MODEL) ?? assert.fail();
const SUBJECT = TRUE.registry.subjects.find(({ name }) => name === MODEL) ?? assert.fail();
/** A request that is planned, which no code has yet. */
const ahead = all(
  law(['subjects', NEW], { ...SUBJECT, name: PLANNED, status: 'planned' }),
  law(['ownership', NEW], { ...OWNER, subject: PLANNED, status: 'planned', evidence: '' }),
);
const plan = (steps: readonly string[], to: unknown): Spoil => all(ahead, law(steps, to));
const planned = (to: string): Spoil => all(ahead, renamed(PLANNED, to));
const baseV2 = TRUE.registry.header_sets['base_v2'] ?? assert.fail();
const requestV1 = TRUE.registry.header_sets['request_reply_v1'] ?? assert.fail();

/** For each rule: what is spoilt, and what the finding must say. */
const CASES: Readonly<Record<RuleId, readonly (readonly [what: string, spoil: Spoil, told: RegExp])[]>> = {
  'top-level': [['a part that nobody knows', law(['owners'], []), /owners is no part of a registry/]],
  'meta-fields': [
    ['no name', law(['meta', 'name'], GONE), /meta\.name is missing/],
    ['another status', law(['meta', 'status'], 'fine'), /fine is no status/],
  ],
  'freeze-tag': [
    ['a tag before its lock', law(['meta', 'freeze_tag'], 'cp1-freeze-2'), /cp1-freeze-2 is not the tag of the lock/],
  ],
  conventions: [
    ['a word among versions', law(['conventions', 'allowed_versions'], more('two')), /allowed_versions/],
    ['no id_max', law(['conventions', 'id_max'], GONE), /id_max/],
  ],
  'header-set-shape': [
    [
      'a header on both sides',
      headerSet('base_v2', { required: baseV2.required, optional: [...baseV2.optional, 'x_trace_id'] }),
      /base_v2: x_trace_id stands there twice/,
    ],
    ['an empty header', headerSet('base_v2', { ...baseV2, optional: [''] }), /non-empty string/],
  ],
  'header-set-exists': [
    [
      'a set of another name',
      plan(['subjects', PLANNED, 'headers'], 'request_reply_v3'),
      /request_reply_v3 is not among the header sets/,
    ],
  ],
  'header-set-unused': [['a set for nobody', headerSet('spare_v2', baseV2), /spare_v2: no subject names it/]],
  'header-spelling': [
    [
      'a header without x_',
      headerSet('base_v2', { required: baseV2.required, optional: [...baseV2.optional, 'hint'] }),
      /base_v2: hint is not spelled/,
    ],
  ],
  'v2-required-headers': [
    [
      'a tenant that may be absent',
      headerSet('base_v2', {
        required: baseV2.required.filter((header) => header !== 'x_tenant_id'),
        optional: [...baseV2.optional, 'x_tenant_id'],
      }),
      /base_v2 does not require x_tenant_id/,
    ],
  ],
  'no-mixed-sets': [
    [
      'a v2 subject with a v1 set',
      plan(['subjects', PLANNED, 'headers'], 'request_reply_v1'),
      /a v2 subject may not use request_reply_v1/,
    ],
    [
      'a v1 subject with a v2 set',
      all(
        law(['subjects', HEARTBEAT, 'headers'], 'base_v2'),
        inCode(({ contracts }) => ({
          contracts: contracts.map((contract) =>
            contract.template === HEARTBEAT ? { ...contract, headers: 'base_v2' } : contract,
          ),
        })),
      ),
      /a v1 subject may not use base_v2/,
    ],
  ],
  'subject-fields': [
    ['no purpose', plan(['subjects', PLANNED, 'purpose'], GONE), /purpose is missing/],
    [
      'a direction to nobody',
      plan(['subjects', PLANNED, 'direction'], 'gateway_to_moon'),
      /direction gateway_to_moon is not a known one/,
    ],
    ['a member with a slip', plan(['subjects', PLANNED, 'queue_grop'], 'router'), /queue_grop is no member/],
  ],
  'subject-unique': [
    ['a template over a subject', planned('beamline.router.v2.admin.status'), /overlaps with|admin\.status/],
  ],
  'subject-name': [
    ['a space in a name', planned('beamline.router.v2.back pressure'), /"back pressure" is no token/],
    ['a name without its version', planned('beamline.router.backpressure'), /v2 is not among its tokens/],
  ],
  'version-allowed': [['a law of v1 only', law(['conventions', 'allowed_versions'], ['v1']), /v2 is not allowed/]],
  'status-by-version': [
    [
      'a planned v1 name',
      law(['subjects', 'beamline.provider.<id>.v1', 'status'], 'planned'),
      /a v1 subject cannot be planned/,
    ],
  ],
  'payload-fields': [
    ['a request without a reply', plan(['subjects', PLANNED, 'reply'], GONE), /a request has a reply/],
    [
      'a payload without a format',
      plan(['subjects', PLANNED, 'payload', 'format'], GONE),
      /payload\.format is missing/,
    ],
  ],
  'correlation-fields': [
    [
      'a field that the message lacks',
      law(['subjects', HEARTBEAT, 'correlation', 'primary'], 'pulse'),
      /pulse is no field of caf\.worker\.WorkerHeartbeat@1/,
    ],
  ],
  'idempotency-fields': [
    [
      'a stored event without a key',
      law(['subjects', 'caf.exec.assign.v2.<pool>', 'idempotency'], {
        key: 'none',
        scope: 'none',
        enforcement: 'none',
      }),
      /is delivered again and needs a key/,
    ],
    [
      'a key that nobody carries',
      law(['subjects', 'caf.exec.cancel.v2', 'idempotency', 'key'], 'nonce'),
      /nonce is neither a field nor a header/,
    ],
  ],
  'v1-not-deleted': [
    [
      'a frozen subject thawed',
      law(['subjects', 'caf.exec.result.v1', 'status'], 'active'),
      /is frozen and cannot be active/,
    ],
  ],
  'v1-headers-unchanged': [
    [
      'one optional header more',
      headerSet('request_reply_v1', { required: [], optional: [...requestV1.optional, 'priority'] }),
      /request_reply_v1 is not as the lock has it/,
    ],
  ],
  'v1-entry-unchanged': [
    [
      'another purpose',
      law(['subjects', 'beamline.router.v1.decide', 'purpose'], 'Ask'),
      /the entry is not as the lock has it/,
    ],
    [
      'another key',
      law(['subjects', 'beamline.usage.v1.metered', 'idempotency', 'key'], 'request_id'),
      /the entry is not as the lock has it/,
    ],
  ],
  'v1-frozen-copy': [
    [
      'a copy with another text',
      file('frozen', 'caf.exec.ExecResult@1', ['description'], 'a result'),
      /the frozen copy is not as the lock has it/,
    ],
  ],
  'v1-schema-compatible': [
    [
      'a shorter id',
      emitted('beamline.router.DecideRequest@1', ['properties', 'request_id', 'maxLength'], 100),
      /bound_tightened/,
    ],
    [
      'a field that old senders leave out',
      emitted('beamline.router.DecideRequest@1', ['required'], more('metadata')),
      /required_added/,
    ],
  ],
  'lock-complete': [
    [
      'a frozen subject that the lock lacks',
      ({ lock, ...rest }) => {
        const { 'caf.exec.result.v1': _, ...subjects } = lock.subjects;
        return { ...rest, lock: { ...lock, subjects } };
      },
      /is frozen and not in the lock/,
    ],
  ],
  'v2-active-compatible': [
    [
      'an active subject that is gone',
      (material) => ({
        ...material,
        base: law(['subjects', NEW], { name: 'beamline.router.v2.gone', version: 'v2', status: 'active' })(material),
      }),
      /removed without having been deprecated/,
    ],
    [
      'a schema that became narrower',
      since(emitted('caf.exec.Cancel@2', ['required'], more('attempt'))),
      /required_added/,
    ],
    [
      'a header that became required',
      since(headerSet('base_v2', { required: [...baseV2.required, 'x_request_id'], optional: ['x_assignment_id'] })),
      /x_request_id became required/,
    ],
  ],
  'owner-exists': [
    ['a subject of nobody', plan(['ownership', PLANNED], GONE), /has no owner/],
    ['a handler with a slip', plan(['ownership', PLANNED, 'handler'], 'backpresure'), /nobody is router\.backpresure/],
    [
      'a consumer that is nobody',
      plan(['ownership', PLANNED, 'consumers'], ['gateway.moon']),
      /nobody is gateway\.moon/,
    ],
  ],
  'owner-orphan': [
    [
      'an owner of nothing',
      law(['ownership', NEW], { ...OWNER, subject: 'beamline.router.v2.none' }),
      /the registry has no such subject/,
    ],
  ],
  'owner-status': [
    [
      'a frozen subject that nobody serves yet',
      law(['ownership', 'caf.exec.result.v1', 'status'], 'planned'),
      /a frozen subject is served/,
    ],
    [
      'an active subject that nobody serves yet',
      law(['ownership', 'caf.exec.cancel.v2', 'status'], 'planned'),
      /an active subject has an owner who serves it/,
    ],
  ],
  'owner-team': [['a team that nobody is in', plan(['ownership', PLANNED, 'team'], 'x'), /x is no team/]],
  'owner-evidence': [
    [
      'a test that is not there',
      law(['ownership', 'caf.exec.cancel.v2', 'evidence'], 'src/worker/cancel.test.ts'),
      /src\/worker\/cancel\.test\.ts is no test file/,
    ],
  ],
  'stream-exists': [
    [
      'dead letters without a stream',
      all(
        law(['streams', 'BEAMLINE_DLQ'], GONE),
        inCode(({ streams }) => ({ streams: streams.filter(({ name }) => name !== 'BEAMLINE_DLQ') })),
      ),
      /is in 0 streams, not in one/,
    ],
  ],
  'stream-settings': [
    ['a stream that drops its oldest', law(['streams', 'CAF_RESULT', 'discard'], 'old'), /discard must be new/],
  ],
  'server-floor': [
    [
      'a compressed stream',
      law(['streams', 'CAF_RESULT', 'compression'], 's2'),
      /compression is not for a 2\.9 server/,
    ],
    [
      'a consumer with backoff',
      law(['streams', 'CAF_RESULT', 'consumers', 0, 'backoff'], [1]),
      /backoff is not for a 2\.9 server/,
    ],
  ],
  'schema-exists': [
    [
      'a type that there is not',
      file('schemas', 'beamline.ledger.LedgerReply@2', ['type'], 'record'),
      /does not compile: \/type is no type/,
    ],
  ],
  'schema-unused': [
    [
      'a schema that nobody names',
      (material) => ({
        ...material,
        schemas: new Map(material.schemas).set('beamline.router.Spare@2', { type: 'object' }),
        examples: [...material.examples, { schema: 'beamline.router.Spare@2', path: 'spare.json', value: {} }],
      }),
      /nothing names it/,
    ],
  ],
  'schema-version': [
    [
      'any version',
      emitted('beamline.ledger.LedgerRequest@2', ['properties', 'version'], { type: 'string' }),
      /version is neither a constant nor a default/,
    ],
  ],
  'schema-matches-code': [
    [
      'a file that was edited',
      file('schemas', 'caf.exec.Cancel@2', ['description'], 'stop'),
      /is not what the code emits/,
    ],
  ],
  'error-codes-total': [
    [
      'another status',
      ({ errors, ...rest }) => ({
        ...rest,
        errors: { ...errors, answers: { ...errors.answers, not_found: { http: 410, retry: false } } },
      }),
      /code and table differ/,
    ],
    [
      'a code that only the table has',
      ({ errors, ...rest }) => ({
        ...rest,
        errors: { ...errors, executions: { ...errors.executions, MOON_FULL: { class: 'limit', retryable: true } } },
      }),
      /the table has it, the code does not/,
    ],
  ],
  'example-exists': [
    [
      'a schema without one',
      ({ examples, ...rest }) => ({
        ...rest,
        examples: examples.filter((shown) => shown.schema !== 'caf.exec.Cancel@2'),
      }),
      /there is no example/,
    ],
  ],
  'example-valid': [['a number for a tenant', example('caf.exec.Cancel@2', ['tenant_id'], 5), /tenant_id/]],
  'example-known-fields': [
    [
      'a field of tomorrow, two levels down',
      example('caf.exec.Cancel@2', ['delivered', 'bytes'], 5),
      /the schema does not declare it/,
    ],
  ],
  'generated-fresh': [
    [
      'a document of yesterday',
      (material) => ({ ...material, generated: [{ path: 'contracts/generated/x.md', text: 'new', found: 'old' }] }),
      /is stale/,
    ],
  ],
  'code-matches-registry': [
    [
      'a contract that the registry lacks',
      inCode(({ contracts }) => ({
        contracts: [
          ...contracts,
          {
            template: 'beamline.router.v2.secret',
            class: 'core_event',
            headers: 'base_v2',
            payload: 'caf.exec.Cancel@2',
          },
        ],
      })),
      /the code has it, the registry does not/,
    ],
    [
      'an entry that the code lacks',
      inCode(({ contracts }) => ({
        contracts: contracts.filter(({ template }) => template !== 'caf.exec.cancel.v2'),
      })),
      /the registry has it, the code does not/,
    ],
    [
      'another reply',
      inCode(({ contracts }) => ({
        contracts: contracts.map((contract) =>
          contract.template === 'beamline.ledger.v2.<op>'
            ? { ...contract, reply: 'beamline.router.JobReply@2' }
            : contract,
        ),
      })),
      /reply is "beamline\.ledger\.LedgerReply@2" here and "beamline\.router\.JobReply@2" in the code/,
    ],
    [
      'a longer ack wait',
      law(['streams', 'CAF_RESULT', 'consumers', 0, 'ack_wait_ms'], 60_000),
      /CAF_RESULT: consumers is/,
    ],
    [
      'a header that only the code sends',
      inCode(({ headerSets }) => ({
        headerSets: { ...headerSets, admin_v2: { required: ['authorization'], optional: [] } },
      })),
      /admin_v2: required is/,
    ],
  ],
};

test('the law holds: no rule finds anything, not even a warning', () => {
  assert.deepEqual(UNREADABLE, []);
  assert.deepEqual(checkLaw(TRUE), []);
});

/** What is wrong already is told above, once. */
const KNOWN = new Set(checkLaw(TRUE).map((finding) => JSON.stringify(finding)));
const isNew = (finding: Finding): boolean => !KNOWN.has(JSON.stringify(finding));

for (const [rule, cases] of Object.entries(CASES)) {
  for (const [what, spoil, told] of cases) {
    test(`${rule} finds ${what}, and nothing else does`, () => {
      const findings = checkLaw(spoil(TRUE)).filter(isNew);
      assert.deepEqual([...new Set(findings.map((finding) => finding.rule))], [rule]);
      assert.ok(
        findings.some(({ message, path }) => told.test(message) || told.test(path)),
        JSON.stringify(findings),
      );
      assert.ok(findings.every(({ severity }) => severity === RULES[rule as RuleId].severity));
    });
  }
}
