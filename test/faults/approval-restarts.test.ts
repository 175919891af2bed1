// A question to people outlives whoever keeps it (worker 17.9): every role and the server are killed and started again, one
// after the other, while a job waits for an answer. Then somebody gives it, and the job ends once.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startNatsServer } from '../nats-server.ts';
import { until } from '../until.ts';
import { accounts } from './broker/accounts.ts';
import { type Answer, askedByApprover, jobOf, orderTask, readiness } from './broker/requests.ts';
import { ROLES, startRoles } from './broker/roles.ts';

const BACK_MS = 40_000;
const QUESTION = {
  type: 'human.approval',
  payload: { title: 'Pay?', options: ['pay', 'leave'], approvers: ['key:key_approver'], expires_s: 3_600 },
};

interface Listed {
  readonly data: readonly { readonly id: string; readonly status: string; readonly votes: readonly object[] }[];
}

const read = <T>({ status, body }: Answer): T => {
  assert.equal(status, 200, body);
  return JSON.parse(body) as T;
};

test('a job waits for its approval while every role and the bus are killed and start again, and ends once when it comes', async () => {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-approval-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const sinceMs = Date.now();
  const nats = opened.use(await startNatsServer());
  const roles = opened.use(await startRoles({ folder, natsUrl: nats.url, answerMs: 1 }));
  const { status, body } = await orderTask(roles, 'question', QUESTION);
  assert.equal(status, 202, body);
  const { id } = JSON.parse(body) as { readonly id: string };

  const approvals = async () => read<Listed>(await askedByApprover(roles, '/api/v1/approvals')).data;
  const state = async (): Promise<string> => read<{ readonly status: string }>(await jobOf(roles, id)).status;
  await until('the question', async () => (await approvals()).length === 1);
  const waiting = await state();
  const isWaiting = async (): Promise<boolean> => {
    if ((await readiness(roles)).status !== 200) return false;
    assert.equal(await state(), waiting);
    assert.deepEqual(
      (await approvals()).map(({ status: now, votes }) => [now, votes.length]),
      [['pending', 0]],
    );
    return true;
  };

  await nats.kill();
  await nats.restart();
  await until('the server to be found again', isWaiting, BACK_MS);
  for (const role of ROLES) {
    // eslint-disable-next-line no-await-in-loop -- one after the other is the point
    await roles.processes[role].kill();
    // eslint-disable-next-line no-await-in-loop -- as above
    await roles.ready(roles.start(role));
    // eslint-disable-next-line no-await-in-loop -- as above
    await until(`the ${role} to be back`, isWaiting, BACK_MS);
  }

  const [approval] = await approvals();
  const decide = (option: string): Promise<Answer> =>
    askedByApprover(roles, `/api/v1/approvals/${approval?.id}/decision`, { option, comment: 'it is due' });
  assert.equal((await decide('pay')).status, 200);
  await until('the end of the job', async () => (await state()) === 'completed', BACK_MS);
  const { result } = read<{ readonly result: { readonly output: object } }>(await jobOf(roles, id));
  assert.partialDeepStrictEqual(result.output, { option: 'pay', approver: 'key:key_approver', comment: 'it is due' });
  assert.equal((await decide('leave')).status, 409);
  const accepted = [{ tenant: 'acme' as const, key: 'question', id }];
  const { ended, wrong } = await accounts(roles, { natsUrl: nats.url, accepted, sinceMs, drainMs: BACK_MS });
  assert.deepEqual(wrong, []);
  assert.deepEqual(ended, [{ status: 'completed', code: undefined, attempts: 1 }]);
});
