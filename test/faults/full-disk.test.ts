// One process with a data folder whose disk takes no more, then killed, and with a torn end of its journal: nothing was
// accepted that is not stored, and everything that was accepted ends once when it starts again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBeamline } from '../process.ts';
import { until } from '../until.ts';
import { accounts } from './broker/accounts.ts';
import { type Answer, order, readiness } from './broker/requests.ts';
import { PEPPER, startGround } from './broker/roles.ts';
import type { AcceptedLine } from './chaos/submitter.ts';

const BEFORE = 20;
const ORDERS_MAX = 200;
/** Room for some more records. */
const ROOM_BYTES = 60_000;
const DRAIN_MS = 40_000;

test('a full disk: 503 instead of a promise, and after a start all that was promised', async () => {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-full-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const sinceMs = Date.now();
  const { config, ...doors } = await startGround({ folder, answerMs: 500 }, opened);
  const data = join(folder, 'data');
  const start = () => startBeamline(['up', '--data', data, '--config', config], { BEAMLINE_PEPPER: PEPPER });
  const accepted: AcceptedLine[] = [];
  const ordered = async (key: string, filler = ''): Promise<Answer> => {
    const answer = await order(doors, key, filler);
    if (answer.status !== 202) return answer;
    const { id } = JSON.parse(answer.body) as { readonly id: string };
    accepted.push({ tenant: 'acme', key, id });
    return answer;
  };

  const full = start();
  await full.until(/gateway_listening/);
  await until('it to be ready', async () => (await readiness(doors)).status === 200);
  await Promise.all(Array.from({ length: BEFORE }, (_, n) => ordered(`before-${n}`)));
  assert.equal(accepted.length, BEFORE);
  const journal = join(data, 'bus', 'journal');
  // No file of the process grows beyond this: what a disk without room answers.
  const limit = statSync(journal).size + ROOM_BYTES;
  execFileSync('prlimit', ['--pid', String(full.pid), `--fsize=${limit}`]);
  let refused: Answer | undefined;
  for (let n = 0; n < ORDERS_MAX && refused === undefined; n++) {
    // eslint-disable-next-line no-await-in-loop -- until there is no room
    const answer = await ordered(`filling-${n}`, 'x'.repeat(2_000));
    if (answer.status !== 202) refused = answer;
  }
  assert.deepEqual([refused?.status, refused?.code], [503, 'unavailable']);
  assert.match(refused?.retryAfter ?? '', /^\d+$/);
  const later = await Promise.all(Array.from({ length: 5 }, (_, n) => ordered(`later-${n}`)));
  assert.deepEqual(
    later.map(({ status }) => status),
    Array(5).fill(503),
  );
  await full.kill();

  appendFileSync(journal, 'half a record');
  const next = start();
  opened.defer(() => next.stop());
  await next.until(/gateway_listening/);
  const { ended, wrong } = await accounts(doors, { natsUrl: undefined, accepted, sinceMs, drainMs: DRAIN_MS });
  assert.deepEqual(wrong, []);
  assert.equal(ended.length, accepted.length);
  assert.match(next.output(), /journal_tail_cut/);
});
