// Equal inputs give an equal decision and explanation, byte for byte, in any process (policy 6).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decisionDigests } from '../../test/decisions.ts';
import { startNode } from '../../test/process.ts';

const MODULE = new URL('../../test/decisions.ts', import.meta.url).href;
const PROGRAM = `import { decisionDigests } from '${MODULE}';
console.log('digests ' + JSON.stringify(decisionDigests('backwards')));`;

/** What must not matter: the zone and the language of the machine, the seeds of the engine's hashes, its compilers. */
const ELSEWHERE: readonly (readonly [
  where: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>>,
])[] = [
  [
    'in another zone and language',
    ['--hash-seed=7'],
    { TZ: 'Asia/Kathmandu', LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8' },
  ],
  ['without optimising compilers', ['--no-opt', '--no-sparkplug', '--random-seed=9'], { TZ: 'America/St_Johns' }],
];

for (const [where, flags, env] of ELSEWHERE) {
  test(`another process ${where}, which decides in another order, decides alike`, async () => {
    const child = startNode([...flags, '--input-type=module', '--eval', PROGRAM], env);
    const [, digests = ''] = await child.until(/^digests (.*)$/m);
    await child.ended;
    const here = decisionDigests('forwards');
    assert.deepEqual(JSON.parse(digests), here);
    assert.ok(new Set(here).size > 500, `only ${new Set(here).size} decisions differ`);
  });
}
