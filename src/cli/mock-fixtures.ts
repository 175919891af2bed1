// The fixture file of the mock router: what it may say, and that every answer it gives fits the contracts.
import type { MockAnswer, MockFixture, MockFixtures } from '../app/mock-router.ts';
import { readYamlFile } from '../config/yaml-file.ts';
import { decideV1, decideV2 } from '../contracts/decide.ts';
import { frames } from '../contracts/frames.ts';
import { ERRORS } from '../core/errors.ts';
import { Findings, pathTo } from '../policy/issue.ts';
import { check, isMembers, type Shape } from '../policy/shape.ts';
import { placed } from './policy-file.ts';
import type { FixtureFile } from './policy-fixtures.ts';

const ANSWERS_MAX = 1_000;
const FRAMES_MAX = 10_000;

const text: Shape = { kind: 'text', charsMin: 1, charsMax: 256 };
const count: Shape = { kind: 'number', min: 0, max: Number.MAX_SAFE_INTEGER, isInteger: true };
const delay: Shape = { kind: 'number', min: 0, max: 600_000, isInteger: true };
const expected: Shape = {
  kind: 'own',
  check: (value, path, context) =>
    check(
      value,
      Array.isArray(value) ? { kind: 'list', of: { kind: 'scalar' }, min: 1, max: 100 } : { kind: 'scalar' },
      path,
      context,
    ),
};

const decision: Shape = {
  kind: 'record',
  fields: {
    provider_id: { shape: text, isRequired: true },
    model: { shape: text },
    reason: { shape: text },
    priority: { shape: { kind: 'number', min: 0, max: 100, isInteger: true } },
    policy_id: { shape: text },
    policy_revision: { shape: count },
    fallback_used: { shape: { kind: 'boolean' } },
    expected_latency_ms: { shape: count },
    expected_cost_micro_usd: { shape: count },
  },
};

const failure: Shape = {
  kind: 'record',
  fields: {
    code: { shape: { kind: 'word', words: Object.keys(ERRORS) }, isRequired: true },
    message: { shape: { kind: 'text', charsMin: 1, charsMax: 1024 } },
    retry_after_ms: { shape: count },
  },
};

const answerFields = {
  decision: { shape: decision },
  error: { shape: failure },
  reply: { shape: { kind: 'open' } },
  silent: { shape: { kind: 'boolean' } },
  delay_ms: { shape: delay },
  frames: { shape: { kind: 'list', of: { kind: 'open' }, min: 0, max: FRAMES_MAX } },
} as const satisfies Record<string, { shape: Shape }>;

const MOCK_SHAPE: Shape = {
  kind: 'record',
  fields: {
    answers: {
      shape: {
        kind: 'list',
        of: {
          kind: 'record',
          fields: {
            name: { shape: text, isRequired: true },
            match: { shape: { kind: 'map', key: /^[a-z_0-9.]+$/, of: expected, min: 0, max: 20 }, isRequired: true },
            times: { shape: { kind: 'number', min: 1, max: 1_000_000, isInteger: true } },
            ...answerFields,
          },
        },
        min: 0,
        max: ANSWERS_MAX,
      },
      isRequired: true,
    },
    default: { shape: { kind: 'record', fields: answerFields } },
  },
};

/** Reads the file, YAML or JSON; faults are `file:line:col path code message`. */
export function readMockFixtures(file: string): FixtureFile<MockFixtures> {
  const yaml = readYamlFile(file);
  const findings = new Findings();
  if (yaml.faults.length === 0) check(yaml.tree, MOCK_SHAPE, '', { findings, major: 2 });
  if (yaml.faults.length === 0 && findings.errors.length === 0) {
    const { answers, default: otherwise } = yaml.tree as MockFixtures;
    for (const [index, fixture] of answers.entries()) checkFixture(fixture, pathTo('/answers', index), findings);
    if (otherwise !== undefined) checkAnswer(otherwise, '/default', findings);
  }
  if (yaml.faults.length === 0 && findings.errors.length === 0) {
    return { kind: 'readable', found: yaml.tree as MockFixtures };
  }
  const faults = placed(yaml, findings.errors).map(
    ({ at, path, code, message }) => `${at} ${path || '/'} ${code} ${message}`,
  );
  return { kind: 'unreadable', faults: [...yaml.faults, ...faults] };
}

function checkFixture(fixture: MockFixture, at: string, findings: Findings): void {
  for (const path of Object.keys(fixture.match)) {
    const isField = [decideV1, decideV2].some(({ request }) => hasField(request.schema, path.split('.')));
    if (!isField) findings.error(pathTo(`${at}/match`, path), 'unknown_key', 'no request has such a field');
  }
  checkAnswer(fixture, at, findings);
}

const WAYS = ['decision', 'error', 'reply', 'silent'] as const;

function checkAnswer(answer: MockAnswer, at: string, findings: Findings): void {
  const ways = WAYS.filter((way) => answer[way] !== undefined);
  if (ways.length !== 1) {
    findings.error(at, 'required', `must have exactly one of ${WAYS.join(', ')}; it has ${ways.join(', ') || 'none'}`);
  }
  if (answer.reply !== undefined) checkReply(answer.reply, `${at}/reply`, findings);
  for (const [index, frame] of (answer.frames ?? []).entries()) {
    const message = { assignment_id: 'a', attempt: 1, seq: index, ...frame };
    if (frames.message.check(message)) continue;
    findings.error(pathTo(`${at}/frames`, index), 'pattern', `is no frame: ${frames.message.fault(message)}`);
  }
}

/** A reply of version 2 says so, one of version 1 has no version. */
function checkReply(reply: object, at: string, findings: Findings): void {
  const { reply: contract } = 'version' in reply ? decideV2 : decideV1;
  const message = { ...reply, context: {} };
  if (!contract.check(message)) {
    findings.error(at, 'pattern', `is no ${contract.id}@${contract.version}: ${contract.fault(message)}`);
  }
}

/** Whether a request can have the field; what is the author's own can have any. */
function hasField(schema: unknown, [name, ...rest]: readonly string[]): boolean {
  if (name === undefined) return true;
  const properties = isMembers(schema) && isMembers(schema['properties']) ? schema['properties'] : {};
  if (Object.keys(properties).length === 0) return isMembers(schema) && schema['type'] === 'object';
  return Object.hasOwn(properties, name) && hasField(properties[name], rest);
}
