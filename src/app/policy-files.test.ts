import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { BeamlineError } from '../core/errors.ts';
import { BAD, marked, markOf, noting, openReplica, parse, writeOf } from '../router/policy-fixture.ts';
import { refusedWith } from '../router/policy-kv-fixture.ts';
import { openPolicyFiles } from './policy-files.ts';
import { openPolicyHistory } from './policy-history.ts';

/** A folder, and where its data is; gone with the test. */
function openFolder(files: Readonly<Record<string, unknown>> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'beamline-policies-'));
  const dir = join(root, 'policies');
  mkdirSync(dir);
  const write = (path: string, content: unknown): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), typeof content === 'string' ? content : JSON.stringify(content));
  };
  for (const [path, content] of Object.entries(files)) write(path, content);
  return {
    dir,
    dataDir: join(root, 'data'),
    write,
    /** As a careful editor does. */
    replace(path: string, content: unknown): void {
      const draft = join(dir, `.draft-${randomBytes(4).toString('hex')}`);
      writeFileSync(draft, JSON.stringify(content));
      renameSync(draft, join(dir, path));
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

type Folder = ReturnType<typeof openFolder>;

/** A source over the folder on a clock moved by hand. */
async function openSource({ dir, dataDir }: Folder, withData = false) {
  const { replica, clock, timers, telemetry } = openReplica('files');
  const { heard, ...listener } = noting();
  const refused: string[] = [];
  const source = await openPolicyFiles({
    dir,
    history: openPolicyHistory(withData ? dataDir : undefined),
    parse,
    timers,
    log: telemetry.log,
    refuse: (tenantId, policyId, lines) => {
      refused.push(...lines);
      replica.refuse(tenantId, policyId, lines);
    },
    mended: (tenantId, policyId) => replica.mended(tenantId, policyId),
  });
  await source.watch({
    all: (records) => (listener.all(records), replica.all(records)),
    changed: (record) => (listener.changed(record), replica.changed(record)),
    unreachable: (fault) => (listener.unreachable(fault), replica.unreachable(fault)),
  });
  const pass = (): void => {
    clock.advance(50);
    timers.tick();
  };
  return {
    source,
    replica,
    heard,
    refused,
    pass,
    /** Lets the time go on until the last thing that was heard is this. */
    hears: (what: string) =>
      until(`${what}; heard ${heard.join(', ')}`, () => {
        pass();
        return heard.at(-1) === what;
      }),
    refuses: (line: RegExp) =>
      until(`${line}; refused ${refused.join(', ')}`, () => {
        pass();
        return refused.some((told) => line.test(told));
      }),
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

test('policies are found by their names, in every format', async () => {
  using folder = openFolder({
    'acme/one.yaml': 'version: "2.0"\nweights: { alder: 1 }\n',
    'acme/two.yml': 'version: "2.0"\nweights: { alder: 1 }\n',
    'oak=2Elab/th=2Free.json': marked('x'),
    'acme/notes.txt': 'no policy',
    'acme/.hidden.yaml': 'garbage: [',
    '.git/config.yaml': 'garbage: [',
    'stray.yaml': 'garbage: [',
  });
  await using opened = await openSource(folder);
  assert.deepEqual(opened.heard, ['all one@1 th/ree@1 two@1']);
  const records = opened.replica.recordsOf('oak.lab');
  assert.deepEqual([records[0]?.updated_by, records[0]?.policy], ['file', marked('x')]);
});

test('a file that is made, changed, renamed and removed is followed, with rising revisions', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('one') });
  await using opened = await openSource(folder);
  folder.replace('acme/test.yaml', marked('two'));
  await opened.hears('test@2');
  folder.write('acme/other.json', marked('x'));
  await opened.hears('other@1');
  folder.write('oak/far.json', marked('x'));
  await opened.hears('far@1');
  renameSync(join(folder.dir, 'acme/test.yaml'), join(folder.dir, 'acme/moved.yaml'));
  await until('the old name is gone, and the new one is there', () => {
    opened.pass();
    return opened.heard.includes('-test@3') && opened.heard.includes('moved@1');
  });
  rmSync(join(folder.dir, 'acme/moved.yaml'));
  await opened.hears('-moved@2');
  folder.write('acme/test.json', marked('one'));
  await opened.hears('test@4');
  rmSync(join(folder.dir, 'acme'), { recursive: true });
  await until('the whole tenant is gone', () => {
    opened.pass();
    return opened.heard.includes('-test@5') && opened.heard.includes('-other@2');
  });
});

test('a change of letters that is none of the document makes no revision, nor does another format', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('one') });
  await using opened = await openSource(folder);
  folder.write('acme/test.yaml', `# a remark\n${JSON.stringify(marked('one'), null, 4)}`);
  renameSync(join(folder.dir, 'acme/test.yaml'), join(folder.dir, 'acme/test.json'));
  folder.write('acme/test.json', marked('one'));
  folder.write('acme/mark.json', marked('x'));
  await opened.hears('mark@1');
  assert.deepEqual(opened.heard, ['all test@1', 'mark@1']);
});

test('a mounted folder that is swapped by its link changes everything at once', async () => {
  using folder = openFolder();
  const tenant = join(folder.dir, 'acme');
  for (const version of ['v1', 'v2']) {
    folder.write(`acme/..${version}/left.yaml`, marked(`left-${version}`));
    folder.write(`acme/..${version}/right.yaml`, marked(`right-${version}`));
  }
  symlinkSync('..v1', join(tenant, '..data'));
  for (const name of ['left.yaml', 'right.yaml']) symlinkSync(join('..data', name), join(tenant, name));
  await using opened = await openSource(folder);
  assert.deepEqual(opened.heard, ['all left@1 right@1']);
  symlinkSync('..v2', join(tenant, '..data_tmp'));
  renameSync(join(tenant, '..data_tmp'), join(tenant, '..data'));
  await until('both are new', () => {
    opened.pass();
    return opened.heard.includes('left@2') && opened.heard.includes('right@2');
  });
  for (const id of ['left', 'right']) assert.equal(markOf(opened.replica, id), `${id}-v2`);
});

test('a file that is half written does not replace the good one, nor is it mistaken for a deletion', async () => {
  using folder = openFolder({ 'acme/test.json': marked('one') });
  await using opened = await openSource(folder);
  const whole = JSON.stringify(marked('two'));
  for (const part of ['', whole.slice(0, 10), whole.slice(0, -1)]) {
    folder.write('acme/test.json', part);
    const told = opened.refused.length;
    await until(`'${part}' is refused`, () => {
      opened.pass();
      return opened.refused.length > told;
    });
  }
  assert.deepEqual(opened.heard, ['all test@1']);
  folder.write('acme/test.json', whole);
  await opened.hears('test@2');
});

test('a bad change is told of once, with its places, and the last good revision stays until it is mended', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('one'), 'acme/other.yaml': marked('x') });
  await using opened = await openSource(folder);
  folder.write('acme/test.yaml', 'version: "2.0"\nweights: { alder: 1 }\nweigths: {}\nsticky: yes\n');
  await opened.refuses(/acme\/test\.yaml:3:1 \/weigths unknown_key /);
  await opened.refuses(/acme\/test\.yaml:4:9 \/sticky type /);
  folder.write('acme/test.json', marked('three'));
  await opened.refuses(/test\.yaml:1:1 is the same policy as .*test\.json/);
  const count = opened.refused.length;
  folder.replace('acme/other.yaml', marked('y'));
  await opened.hears('other@2');
  assert.equal(opened.refused.length, count);
  rmSync(join(folder.dir, 'acme/test.yaml'));
  await opened.hears('test@2');
  assert.deepEqual(opened.replica.find('acme', 'test').targets[0]?.model, 'three');
});

test('anchors, aliases and tags are refused in policies, with their places', async () => {
  using folder = openFolder({
    'acme/test.yaml': 'version: !!str 2.0\nproviders:\n  - &a { name: alder, weight: 1 }\nmetadata: { same: *a }\n',
  });
  await using opened = await openSource(folder);
  assert.deepEqual(
    opened.refused.map((line) => line.replaceAll(`${folder.dir}/acme/`, '')),
    [
      'test.yaml:1:16 / not_plain the tag of this value is not allowed',
      "test.yaml:3:8 / not_plain the anchor '&a' is not allowed",
      "test.yaml:4:19 / not_plain the alias '*a' is not allowed",
    ],
  );
  assert.equal(markOf(opened.replica, 'test'), 'policy_not_found');
});

test('a start with bad documents tells every fault of every file, and serves the others', async () => {
  using folder = openFolder({
    'acme/bad.yaml': 'version: "2.0"\nweights: { alder: 1 }\nweigths: {}\nsticky: yes\n',
    'acme/broken.yaml': 'version: [',
    'acme/good.json': marked('x'),
    'acme/default.json': BAD,
    'oak/worse.json': JSON.stringify(BAD, null, 1),
  });
  await using opened = await openSource(folder);
  const { replica, refused } = opened;
  const told = refused.map((line) => line.replaceAll(`${folder.dir}/`, ''));
  const expected = [
    /^acme\/bad\.yaml:3:1 \/weigths unknown_key /,
    /^acme\/bad\.yaml:4:9 \/sticky type /,
    /^acme\/broken\.yaml:1:11 /,
    /^oak\/worse\.json:5:12 \/providers\/0\/name pattern /,
    /^oak\/worse\.json:6:14 \/providers\/0\/weight type /,
  ];
  for (const pattern of expected)
    assert.ok(
      told.some((line) => pattern.test(line)),
      `${pattern} in ${told.join('\n')}`,
    );
  assert.deepEqual([markOf(replica, 'good'), markOf(replica, 'bad'), replica.faulty], ['x', 'policy_not_found', 4]);
  assert.equal(markOf(replica, 'default'), 'policy_not_found', 'the built-in one is not what its author meant');
  folder.replace('acme/bad.yaml', marked('mended'));
  rmSync(join(folder.dir, 'acme/default.json'));
  await opened.hears('bad@1');
  await until('the built-in policy is back', () => {
    opened.pass();
    return markOf(replica, 'default') === 'built-in';
  });
  assert.equal(replica.faulty, 2);
});

test('a document that turned bad while nobody looked leaves its last good revision over a restart', async () => {
  using folder = openFolder({ 'acme/test.json': marked('one') });
  await (await openSource(folder, true))[Symbol.asyncDispose]();
  folder.write('acme/test.json', BAD);
  await using opened = await openSource(folder, true);
  assert.deepEqual([markOf(opened.replica, 'test'), opened.replica.faulty], ['one', 1]);
  folder.replace('acme/test.json', marked('one'));
  await until('it is mended', () => {
    opened.pass();
    return opened.replica.faulty === 0;
  });
  assert.equal(markOf(opened.replica, 'test'), 'one');
});

test('a folder that goes away deletes nothing, and is found again', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('one') });
  await using opened = await openSource(folder);
  renameSync(folder.dir, `${folder.dir}-away`);
  await opened.hears('unreachable');
  assert.equal(opened.replica.find('acme', 'test').revision, 1);
  await refusedWith('unavailable', opened.source.put(writeOf('test'), marked('two')));
  renameSync(`${folder.dir}-away`, folder.dir);
  await opened.hears('all test@1');
});

test('a folder that is not there at the start is unreachable, not empty', async () => {
  using folder = openFolder();
  rmSync(folder.dir, { recursive: true });
  await using opened = await openSource(folder);
  assert.deepEqual(opened.heard, ['unreachable']);
});

test('writes go into the folder, with the revision that was expected, and are told once', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('one') });
  await using opened = await openSource(folder);
  const { source } = opened;
  assert.equal((await source.put(writeOf('test', 1), marked('two'))).revision, 2);
  assert.deepEqual(JSON.parse(readFileSync(join(folder.dir, 'acme/test.yaml'), 'utf8')), marked('two'));
  assert.equal((await source.put(writeOf('a.b', 0), marked('x'))).revision, 1);
  assert.deepEqual(JSON.parse(readFileSync(join(folder.dir, 'acme/a=2Eb.json'), 'utf8')), marked('x'));
  await refusedWith('precondition_failed', source.put(writeOf('test', 1), marked('x')));
  await refusedWith('precondition_failed', source.delete(writeOf('test', 1)));
  assert.equal((await source.delete(writeOf('test', 2))).revision, 3);
  await refusedWith('not_found', source.delete(writeOf('test')));
  await refusedWith('invalid_request', source.put(writeOf('a b'), marked('x')));
  folder.write('acme/mark.json', marked('x'));
  await opened.hears('mark@1');
  assert.deepEqual(opened.heard, ['all test@1', 'test@2', 'a.b@1', '-test@3', 'mark@1']);
});

test('a write meets what an editor has just written', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('one') });
  await using opened = await openSource(folder);
  folder.replace('acme/test.yaml', marked('two'));
  await refusedWith('precondition_failed', opened.source.put(writeOf('test', 1), marked('three')));
  assert.equal((await opened.source.put(writeOf('test', 2), marked('three'))).revision, 3);
});

for (const withData of [false, true]) {
  test(`the newest 64 revisions are kept ${withData ? 'in the data folder' : 'in memory'}`, async () => {
    using folder = openFolder();
    await using opened = await openSource(folder, withData);
    for (let n = 1; n <= 66; n++) await opened.source.put(writeOf('test'), marked(`${n}`));
    await opened.source.delete(writeOf('test'));
    const history = await opened.source.history('acme', 'test');
    assert.deepEqual(
      history.map(({ revision }) => revision),
      Array.from({ length: 64 }, (_, n) => 67 - n),
    );
    assert.deepEqual([history[0]?.deleted, history[1]?.policy], [true, marked('66')]);
    await refusedWith('not_found', opened.source.history('acme', 'other'));
  });
}

test('revisions go on over a restart, for what changed and what was deleted while nobody looked', async () => {
  using folder = openFolder({
    'acme/same.yaml': marked('x'),
    'acme/changed.yaml': marked('x'),
    'acme/gone.yaml': marked('x'),
  });
  {
    await using opened = await openSource(folder, true);
    await opened.source.put(writeOf('changed'), marked('y'));
    await opened.source.put(writeOf('deleted'), marked('y'));
    await opened.source.delete(writeOf('deleted'));
  }
  folder.replace('acme/changed.yaml', marked('z'));
  rmSync(join(folder.dir, 'acme/gone.yaml'));
  {
    await using opened = await openSource(folder, true);
    assert.deepEqual(opened.heard, ['all -deleted@2 -gone@2 changed@3 same@1']);
    assert.equal((await opened.source.put(writeOf('deleted', 0), marked('x'))).revision, 3);
  }
  await using opened = await openSource(folder, true);
  assert.deepEqual(opened.heard, ['all -gone@2 changed@3 deleted@3 same@1']);
});

test('a history that is damaged refuses the start instead of giving revisions again', async () => {
  using folder = openFolder({ 'acme/test.yaml': marked('x') });
  await (await openSource(folder, true))[Symbol.asyncDispose]();
  writeFileSync(join(folder.dataDir, 'policy-history/acme/test.json'), '{"records":[{}');
  const fault = await refusedWith('validation_failed', openSource(folder, true));
  assert.ok(fault instanceof BeamlineError && fault.message.includes('policy-history/acme/test.json is damaged'));
});
