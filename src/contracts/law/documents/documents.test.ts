import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import specs from '@asyncapi/specs';
import { Ajv } from 'ajv';
import { emitSchema, PAYLOADS } from '../../registry.ts';
import { type Registry, registryOf } from '../registry-shape.ts';
import { asyncApiDocument } from './asyncapi.ts';
import { withOwners } from './codeowners.ts';
import { lawDocuments } from './documents.ts';
import { type LawSource, servedSubjects } from './law-document.ts';
import { natsPermissions } from './nats-permissions.ts';
import { subjectsPage } from './subjects-page.ts';

type Json = Record<string, unknown>;

const registry = registryOf(JSON.parse(readFileSync('contracts/registry.json', 'utf8')));
const source: LawSource = {
  registry,
  schemas: new Map(PAYLOADS.map((payload) => [`${payload.id}@${payload.version}`, JSON.parse(emitSchema(payload))])),
  examples: [
    {
      schema: 'caf.exec.Cancel@2',
      path: 'contracts/examples/caf.exec.Cancel@2/deadline.json',
      value: { version: '2', tenant_id: 'kestrel', assignment_id: 'a1', reason: 'deadline', requested_at_ms: 1 },
    },
  ],
};

interface Api {
  readonly channels: Record<string, { messages: Record<string, { $ref: string }>; address: string | null }>;
  readonly operations: Record<string, { action: string; channel: { $ref: string }; messages: { $ref: string }[] }>;
  readonly components: { messages: Record<string, { payload: { $ref: string }; examples?: { payload: unknown }[] }> };
}
const api = asyncApiDocument(source) as unknown as Api;

// It brings the schema of schemas along, which the validator has already.
const isAsyncApi = new Ajv({
  strict: false,
  validateFormats: false,
  logger: false,
  meta: false,
  validateSchema: false,
}).compile(specs['schemas']['3.0.0'] as Json);

test('the AsyncAPI document is one by the official schema of version 3.0, which refuses what is none', () => {
  assert.equal(isAsyncApi(api), true, JSON.stringify(isAsyncApi.errors?.slice(0, 3)));
  const [operation = ''] = Object.keys(api.operations);
  const broken = { ...api.operations[operation], action: 'shout' };
  assert.equal(isAsyncApi({ ...api, operations: { ...api.operations, [operation]: broken } }), false);
});

/** What a reference in the document names. */
function resolved(ref: string): unknown {
  let at: unknown = api;
  for (const part of ref.replace('#/', '').split('/')) at = (at as Json)[part.replaceAll('~1', '/')];
  return at;
}

test('every reference in the AsyncAPI document leads somewhere', () => {
  const refs = [...JSON.stringify(api).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref = '']) => ref);
  assert.ok(refs.length > 100);
  assert.deepEqual(
    refs.filter((ref) => resolved(ref) === undefined),
    [],
  );
});

test('every subject is a channel that somebody sends to and somebody receives from', () => {
  for (const { name } of servedSubjects(registry)) {
    const address = name.replaceAll('<', '{').replaceAll('>', '}');
    const channel = Object.entries(api.channels).find(([, found]) => found.address === address)?.[0];
    const actions = Object.values(api.operations)
      .filter((operation) => operation.channel.$ref === `#/channels/${channel}`)
      .map(({ action }) => action);
    assert.deepEqual([...new Set(actions)].toSorted(), ['receive', 'send'], name);
  }
});

test('a planned subject is in the tables, and not in what tools send by', () => {
  const planned = registry.subjects.find(({ status }) => status === 'planned')?.name ?? assert.fail();
  assert.ok(subjectsPage(registry).includes(planned));
  const generated = lawDocuments(source).filter(({ path }) => !path.endsWith('.md'));
  assert.equal(generated.length, 3);
  for (const { path, text } of generated) assert.ok(!text.includes(planned), path);
});

test('examples of messages are carried, and fit the schema that is embedded', () => {
  const cancel = Object.values(api.components.messages).find(({ examples }) => examples !== undefined);
  const validate = new Ajv({ strict: false }).compile(resolved(cancel?.payload.$ref ?? '') as Json);
  assert.equal(cancel?.examples?.length, 1);
  assert.ok(cancel?.examples?.every(({ payload }) => validate(payload)));
});

test('embedded schemas use only words that mean the same in the drafts that AsyncAPI knows', () => {
  const text = JSON.stringify(api.components);
  for (const word of ['prefixItems', 'unevaluated', '$defs', '$dynamicRef', 'dependentSchemas', 'minContains']) {
    assert.ok(!text.includes(word), word);
  }
});

test('a module is allowed what its subjects, streams and buckets need', () => {
  const { worker, router, gateway, ledger } = natsPermissions(registry);
  const can = (list: readonly string[] | undefined, subject: string): void =>
    assert.ok(list?.includes(subject), `${subject} in ${list?.join('\n')}`);
  can(worker?.publish, 'caf.exec.result.v1');
  can(worker?.publish, '$JS.API.CONSUMER.MSG.NEXT.CAF_ASSIGN.caf-workers');
  can(worker?.publish, '$JS.ACK.CAF_ASSIGN.caf-workers.>');
  can(worker?.subscribe, 'caf.exec.call.v2.<pool> worker');
  can(router?.subscribe, 'beamline.router.v1.decide router');
  can(router?.publish, '$KV.beamline_jobs.>');
  can(gateway?.subscribe, 'beamline.exec.v2.frames.*.*');
  can(gateway?.publish, '$JS.API.STREAM.MSG.GET.BEAMLINE_DLQ');
  can(gateway?.publish, '$JS.API.CONSUMER.INFO.BEAMLINE_DLQ.dead-letter-pages');
  can(ledger?.publish, '$JS.API.CONSUMER.MSG.NEXT.BEAMLINE_USAGE.ledger-usage');
});

/** Whether a pattern of NATS covers a subject. */
function covers(pattern: string, subject: string): boolean {
  const [tokens, parts] = [pattern.split('.'), subject.split('.')];
  for (const [at, token] of tokens.entries()) {
    if (token === '>') return parts.length > at;
    if (parts[at] === undefined || (token !== '*' && token !== parts[at])) return false;
  }
  return tokens.length === parts.length;
}

// What one module must not do to another.
const DENIED: readonly (readonly [module: string, subject: string])[] = [
  ['worker', 'beamline.router.v2.decide'],
  ['worker', 'beamline.router.v2.admin.put_policy'],
  ['worker', 'beamline.usage.v1.metered'],
  ['worker', '$KV.beamline_jobs.acme.a1.state'],
  ['worker', '$KV.beamline_policies.acme.default'],
  ['worker', '$KV.beamline_extensions.pii_guard'],
  ['worker', '$KV.beamline_control.extension.-.pii_guard'],
  ['worker', '$JS.API.STREAM.DELETE.CAF_RESULT'],
  ['worker', '$JS.API.STREAM.PURGE.CAF_ASSIGN'],
  ['worker', '$JS.API.CONSUMER.MSG.NEXT.CAF_RESULT.router-results'],
  ['gateway', 'caf.exec.result.v1'],
  ['gateway', 'caf.exec.call.v2.default'],
  ['gateway', '$KV.beamline_policies.acme.default'],
  ['gateway', '$KV.beamline_extensions.pii_guard'],
  ['gateway', '$KV.beamline_jobs.acme.a1.state'],
  ['ledger', 'beamline.router.v2.decide'],
  ['ledger', 'caf.exec.cancel.v2'],
  ['router', 'caf.exec.result.v1'],
  ['router', '$JS.API.STREAM.DELETE.KV_beamline_jobs'],
  ['extension', 'beamline.router.v2.decide'],
  ['cli', 'caf.exec.result.v1'],
];

for (const [module, subject] of DENIED) {
  test(`${module} may not publish ${subject}`, () => {
    const { publish = [] } = natsPermissions(registry)[module] ?? {};
    assert.ok(publish.length > 0);
    assert.deepEqual(
      publish.filter((pattern) => covers(pattern, subject)),
      [],
    );
  });
}

test('the section of owners is made once, replaced in its place, and leaves what others wrote', () => {
  const first = withOwners('# ours\n/docs/ @writers\n', registry);
  assert.match(first, /^# ours\n\/docs\/ @writers\n\n# begin/);
  assert.match(first, /\n\/contracts\/schemas\/caf\.exec\.ExecResult@1\.json @beamline\/execution\n/);
  assert.match(
    first,
    /\n\/contracts\/frozen\/caf\.exec\.ExecResult@1\.json @beamline\/contracts @beamline\/execution\n/,
  );
  assert.equal(withOwners(first, registry), first);
  const renamed: Registry = {
    ...registry,
    meta: { ...registry.meta, teams: { ...registry.meta.teams, contracts: '@law' } },
  };
  const second = withOwners(`${first}/last/ @one\n`, renamed);
  assert.match(
    second,
    /^# ours\n\/docs\/ @writers\n\n# begin[^]*\/contracts\/ @law\n[^]*# end[^\n]*\n\/last\/ @one\n$/,
  );
});
