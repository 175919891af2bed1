import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'beamline-policy-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function policy(args: readonly string[], input = '') {
  const options = { env: {}, encoding: 'utf8', input, cwd: folder } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'policy', ...args], options);
  return { status, stdout, stderr };
}

for (const [name, text] of Object.entries({
  'good.yaml': `version: '2.0'
providers:
  - { name: alder, weight: 70 }
  - { name: birch, weight: 30, model: medium-2b }
fallbacks:
  - { when: { status: 5xx }, retry: 1, to: birch }
`,
  'other.json': JSON.stringify({ version: '1.0', weights: { birch: 1 } }),
  'bad.yaml': `version: '1.0'
providers:
  - { name: alder, weight: 170 }
  - { name: birch, weight: 30, pool: lab }
fallbaks: []
fallbacks:
  - { when: { status: 5xx }, to: brich }
`,
  'warned.yaml': `version: '1.0'\nproviders: [{ name: alder, weight: 1 }]\ndefaults: {}\n`,
  'twice.yaml': `version: '1.0'\nversion: '2.0'\n`,
  'anchored.yaml': `version: '1.0'\nproviders: [ &a { name: alder, weight: 1 }]\n`,
  'order.yaml': `version: '1.0'\nstratgey: cost\nproviders: [{ nam: alder, name: alder, weight: 1 }]\ntimeoutms: 5\n`,
  'config.yaml': `providers:\n  list:\n    - { id: brich, type: sim }\n`,
})) {
  writeFileSync(join(folder, name), text);
}

test('check tells every fault and warning of every file with its place', () => {
  const { status, stdout, stderr } = policy(['check', 'bad.yaml', 'warned.yaml', 'good.yaml']);
  assert.equal(status, 1);
  assert.deepEqual(stdout.split('\n'), [
    'bad.yaml:3:28 /providers/0/weight range must be a number from 0 to 100',
    "bad.yaml:4:32 /providers/1/pool requires_version_2 'pool' needs version 2",
    "bad.yaml:5:1 /fallbaks unknown_key unknown key; did you mean 'fallbacks'?",
    "bad.yaml:7:34 /fallbacks/0/to unknown_provider provider 'brich' is not defined; did you mean 'birch'?",
    'warned.yaml:3:11 /defaults warning no_effect is accepted and has no effect',
    'warned.yaml is valid',
    'good.yaml is valid',
    '',
  ]);
  assert.match(stderr, /--config or --providers/);
});

test('validate is check, and --json prints the findings as one object', () => {
  const { status, stdout } = policy(['validate', '--json', 'bad.yaml', 'warned.yaml', '--providers', 'brich, other']);
  const report = JSON.parse(stdout) as {
    valid: boolean;
    files: readonly { valid: boolean; errors: readonly object[]; warnings: readonly object[] }[];
  };
  assert.deepEqual([status, report.valid, report.files.map(({ valid }) => valid)], [1, false, [false, true]]);
  assert.equal(report.files[0]?.errors.length, 3);
  assert.deepEqual(report.files[1]?.warnings, [
    { at: 'warned.yaml:3:11', path: '/defaults', code: 'no_effect', message: 'is accepted and has no effect' },
  ]);
});

const checks: readonly (readonly [what: string, args: readonly string[], status: number, told: RegExp])[] = [
  ['a valid document is exit 0', ['good.yaml'], 0, /^good\.yaml is valid$/m],
  ['JSON is read as well; without a catalogue the weights name the providers', ['other.json'], 0, /is valid/],
  ['with a catalogue, weights must be in it', ['other.json', '--providers', 'alder'], 1, /unknown_provider/],
  ['the catalogue can be that of a configuration', ['bad.yaml', '--config', 'config.yaml'], 1, /^(?!.*brich)/s],
  ['a file that is not there is exit 2', ['good.yaml', 'nowhere.yaml'], 2, /nowhere\.yaml:1:1 cannot be read/],
  [
    'a key that stands twice makes a file unreadable',
    ['twice.yaml'],
    2,
    /twice\.yaml:2:1 the key version is there twice/,
  ],
  [
    'faults come in the order of the file',
    ['order.yaml'],
    1,
    /^order\.yaml:2:1 .*\norder\.yaml:3:15 .*\norder\.yaml:4:1 /,
  ],
  ['an anchor is not part of a policy', ['anchored.yaml'], 1, /anchored\.yaml:2:17 \/ not_plain .*'&a'/],
  ['a bad configuration is exit 78', ['good.yaml', '--config', 'bad.yaml'], 78, /^$/],
];

for (const [what, args, status, told] of checks) {
  test(`check: ${what}`, () => {
    const result = policy(['check', ...args]);
    assert.equal(result.status, status, result.stderr);
    assert.match(result.stdout, told);
  });
}

const FIXTURES = `
- name: the draw of the specification
  request: { tenant_id: kestrel, request_id: rq-50b7 }
  expect: { provider: alder, not_provider: birch, reason: weighted, fallback_used: false }
- name: one of several, by another seed
  seed: some seed
  expect: { provider: [alder, birch] }
- name: a breaker
  request: { model: small }
  snapshot: { open: [alder] }
  expect: { provider: birch, model: medium-2b }
- name: two failures
  snapshot: { open: [birch] }
  failures: [{ code: PROVIDER_UNAVAILABLE, http_status: 503 }, { code: PROVIDER_UNAVAILABLE, http_status: 503 }]
  expect: { error: provider_unavailable, tries: [alder, alder] }
- name: a failure that nothing follows
  failures: [{ code: CONTENT_BLOCKED }]
  expect: { error: content_blocked }
`;

test('test runs fixtures that stand beside the policy, failures of attempts included', () => {
  writeFileSync(join(folder, 'good.fixtures.yaml'), FIXTURES);
  const { status, stdout, stderr } = policy(['test', 'good.yaml']);
  assert.deepEqual([status, stdout, stderr], [0, 'good.fixtures.yaml: 5 of 5 fixtures hold\n', '']);
});

test('test tells what was expected, what came and why, and writes a report', () => {
  const wrong = [
    {
      name: 'a <wrong> "one"',
      request: { request_id: 'rq-1' },
      snapshot: { open: ['alder'] },
      expect: { provider: 'alder' },
    },
    { name: 'no error', expect: { error: 'no_provider_available', tries: [], model: 'x' } },
    { name: 'a right one', snapshot: { open: ['alder'] }, expect: { provider: 'birch', fallback_used: false } },
  ];
  writeFileSync(join(folder, 'wrong.json'), JSON.stringify(wrong));
  const { status, stdout } = policy(['test', 'good.yaml', '--fixtures', 'wrong.json', '--junit', 'report.xml']);
  assert.equal(status, 1);
  assert.match(
    stdout,
    /^FAIL a <wrong> "one"\n {2}expected provider alder, got birch\n {2}birch: weighted, priority 50$/m,
  );
  assert.match(stdout, /^ {4}1 +breaker +removed +alder: breaker open$/m);
  assert.match(
    stdout,
    /expected error no_provider_available, got provider birch\n {2}expected model x, got medium-2b\n {2}expected tries none/,
  );
  assert.match(stdout, /^wrong\.json: 1 of 3 fixtures hold$/m);
  const report = readFileSync(join(folder, 'report.xml'), 'utf8');
  assert.match(report, /<testsuites tests="3" failures="2">/);
  assert.match(
    report,
    /name="a &lt;wrong&gt; &quot;one&quot;">\n +<failure message="expected provider alder, got birch">/,
  );
});

const unreadable: readonly (readonly [what: string, fixtures: string, told: RegExp])[] = [
  [
    'a key that is no fact',
    '- { name: a, request: { modell: x }, expect: { error: x } }',
    /^-:1:25 .*did you mean 'model'/,
  ],
  ['a provider that the policy does not have', '- { name: a, expect: { not_provider: aldr } }', /no provider 'aldr'/],
  [
    'a state of nobody',
    '- { name: a, snapshot: { open: [aldr] }, expect: { error: x } }',
    /^-:1:33 .*no provider 'aldr'/,
  ],
  ['no expectation', '- { name: a, expect: {} }', /must expect something/],
  ['no fixture', '[]', /at least 1/],
  ['a name that stands twice', '[{name: a, expect: {error: x}}, {name: a, expect: {error: x}}]', /listed twice/],
];

for (const [what, fixtures, told] of unreadable) {
  test(`test refuses fixtures with ${what}: exit 2, and nothing passes by a slip`, () => {
    const { status, stderr } = policy(['test', 'good.yaml', '--fixtures', '-'], fixtures);
    assert.equal(status, 2);
    assert.match(stderr, told);
  });
}

test('an invalid policy has no test: exit 1, and its faults', () => {
  const { status, stderr } = policy(['test', 'bad.yaml', '--fixtures', 'good.fixtures.yaml']);
  assert.equal(status, 1);
  assert.match(stderr, /bad\.yaml:3:28 \/providers\/0\/weight range/);
});

test('explain tells the decision for a request of the standard input, for people and for programs', () => {
  const request = 'tenant_id: kestrel\nrequest_id: rq-50b7\n';
  const { status, stdout } = policy(['explain', 'good.yaml', '--request', '-'], request);
  assert.equal(status, 0);
  assert.deepEqual(stdout.split('\n'), [
    'alder: weighted, priority 50',
    '  policy good revision 0 (version 2.0), attempt 1, seed kestrel:rq-50b7',
    'steps',
    '  1  select  chosen  weighted draw 0.012476',
    'candidates',
    '  alder  chosen    weight 70',
    '  birch  eligible  weight 30',
    '',
  ]);
  const json = policy(['explain', 'good.yaml', '--request', '-', '--json'], request);
  const explanation = JSON.parse(json.stdout) as Readonly<Record<string, unknown>>;
  assert.deepEqual([explanation['provider_id'], explanation['priority']], ['alder', 50]);
});

test('explain follows the failures of a fixture, and tells of a request that nobody serves', () => {
  const trial = 'snapshot: { open: [birch] }\nfailures: [{ code: PROVIDER_UNAVAILABLE, http_status: 500 }]\n';
  assert.match(policy(['explain', 'good.yaml', '--request', '-'], trial).stdout, /after the failures: alder \(retry\)/);
  const none = policy(['explain', 'good.yaml', '--request', '-'], 'snapshot: { open: [alder, birch] }');
  assert.equal(none.status, 0);
  assert.match(none.stdout, /^no provider\n[^]*^error circuit_breaker_open$/m);
});

test('diff tells shares before and after, the same for the same seed', () => {
  const args = ['diff', 'good.yaml', 'other.json', '--samples', '500', '--json'];
  const first = policy(args);
  const report = JSON.parse(first.stdout) as Readonly<Record<string, unknown>> & {
    shares: readonly { provider: string; before: number; after: number }[];
    changes: readonly object[];
  };
  assert.equal(first.status, 0);
  assert.deepEqual(
    report.shares.map(({ provider, before, after: now }) => [provider, Math.round(10 * before), now]),
    [
      ['alder', 7, 0],
      ['birch', 3, 1],
    ],
  );
  assert.equal(report.changes.length, 200);
  assert.equal(policy(args).stdout, first.stdout);
});

test('diff of fixtures names what changed, and --max-change makes it a gate', () => {
  const args = ['diff', 'good.yaml', 'other.json', '--fixtures', 'good.fixtures.yaml', '--max-change', '10'];
  const { status, stdout } = policy(args);
  assert.equal(status, 1);
  assert.match(stdout, /^5 requests: 1 same, 4 changed$/m);
  assert.match(stdout, /^ {2}the draw of the specification +alder \(weighted\) +-> +birch \(weighted\)$/m);
});

test('a policy without change has no difference', () => {
  const { status, stdout } = policy(['diff', 'good.yaml', 'good.yaml', '--max-change', '0']);
  assert.equal(status, 0);
  assert.match(stdout, /^1000 requests: 1000 same, 0 changed$/m);
});

test('diff asks for the models that the documents name', () => {
  writeFileSync(
    join(folder, 'models.json'),
    JSON.stringify({ version: '2.0', providers: [{ name: 'birch', weight: 1, models: ['gpt-*', 'small'] }] }),
  );
  const { stdout } = policy(['diff', 'other.json', 'models.json', '--samples', '100']);
  assert.match(stdout, /^100 requests: 100 same, 0 changed$/m);
});

test('what is not built says so: exit 69', () => {
  const { status, stdout, stderr } = policy(['import', 'other.yaml']);
  assert.deepEqual([status, stdout], [69, '']);
  assert.match(stderr, /^not_implemented: /);
});
