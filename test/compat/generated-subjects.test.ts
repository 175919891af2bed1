// The generated TypeScript against the contracts that it speaks of: a stranger's project must compile with it alone, and
// what it says must be what the bus does.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Messages, subjectOf, SUBJECTS, WILDCARDS } from '../../contracts/generated/subjects.ts';
import type { Payload } from '../../src/contracts/contract.ts';
import { CONTRACTS } from '../../src/contracts/registry.ts';
import { fillSubject, wildSubject } from '../../src/contracts/subject.ts';

const GENERATED = 'contracts/generated/subjects.ts';

type Writable<T> = T extends readonly (infer Item)[]
  ? Writable<Item>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Writable<T[Key]> }
    : T;
type Agrees<One, Other> = [One] extends [Writable<Other>] ? ([Writable<Other>] extends [One] ? true : false) : false;

/** The template of a contract of which the generated types say something else; never where they agree. */
type Disagreement<Contract> = Contract extends { template: infer Name extends keyof Messages }
  ? Contract extends { request: Payload<infer Asked>; reply: Payload<infer Answer> }
    ? Messages[Name] extends { payload: infer Q; reply: infer R }
      ? [Agrees<Asked, Q>, Agrees<Answer, R>] extends [true, true]
        ? never
        : Name
      : Name
    : Contract extends { message: Payload<infer Body> }
      ? Agrees<Body, Messages[Name]['payload']> extends true
        ? never
        : Name
      : Name
  : never;

type Disagreements = Disagreement<(typeof CONTRACTS)[number]>;

test('the generated types are those of the contracts', () => {
  // Does not compile where one of them differs: the compiler then names the subjects.
  const doAgree: [Disagreements] extends [never] ? true : Disagreements = true;
  assert.ok(doAgree);
});

test('the generated subjects are the templates of the contracts', () => {
  const templates = new Set<string>(Object.values(SUBJECTS));
  assert.deepEqual(
    CONTRACTS.map(({ template }) => template).filter((template) => !templates.has(template)),
    [],
  );
});

test('a builder makes the subject that the bus makes, or refuses the id as it does', () => {
  const attempt = (make: () => string): string => {
    try {
      return make();
    } catch {
      return 'refused';
    }
  };
  const id = fc.oneof(fc.string(), fc.string({ unit: 'grapheme', maxLength: 4 }), fc.constantFrom('*', '>', 'a.b', ''));
  fc.assert(
    fc.property(id, (pool) => {
      const ours = attempt(() => fillSubject('caf.exec.call.v2.<pool>', { pool }));
      assert.equal(
        attempt(() => subjectOf.cafExecCallV2Pool({ pool })),
        ours,
      );
    }),
  );
  assert.equal(
    subjectOf.beamlineExecV2FramesGatewayIdStreamId({ gateway_id: 'gw-1', stream_id: 'k.3' }),
    'beamline.exec.v2.frames.gw-1.k=2E3',
  );
  for (const [name, template] of Object.entries(SUBJECTS)) {
    assert.equal(WILDCARDS[name as keyof typeof WILDCARDS], wildSubject(template, {}));
  }
});

const STRANGER = `
import { type Messages, subjectOf, SUBJECTS } from './subjects.ts';
const ask: Messages[typeof SUBJECTS.beamlineRouterV1Decide]['payload'] = {
  version: '1', request_id: 'r', tenant_id: 't', task: { type: 'ai.chat', payload: { a: 1 } },
};
export const asked: string = subjectOf.cafExecCallV2Pool({ pool: ask.tenant_id });
// @ts-expect-error: a version that the subject does not have
export const wrong: Messages['beamline.router.v1.decide']['payload'] = { ...ask, version: '2' };
// @ts-expect-error: a required header
export const bare: Messages['beamline.router.v2.decide']['headers'] = {};
`;

test('a project of a stranger compiles with the generated file alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-stranger-'));
  try {
    copyFileSync(GENERATED, join(folder, 'subjects.ts'));
    writeFileSync(join(folder, 'stranger.ts'), STRANGER);
    const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--types', ''];
    const compiler = resolve('node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(
      process.execPath,
      [compiler, ...options, '--exactOptionalPropertyTypes', '--allowImportingTsExtensions', 'stranger.ts'],
      { cwd: folder, encoding: 'utf8' },
    );
    assert.equal(status, 0, stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
