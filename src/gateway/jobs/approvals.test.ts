import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Approval, approvalBucket, approvalKey } from '../../contracts/approval.ts';
import { BeamlineError } from '../../core/errors.ts';
import { codeOf, fieldOf, openWorld } from './jobs-fixture.ts';

const ASKED: Approval = {
  version: '2',
  approval_id: 'apr_1',
  tenant_id: 'acme',
  job_id: 'job_00000000000000000000000001',
  assignment_id: 'a-1',
  title: 'Pay?',
  options: ['yes', 'no'],
  approvers: ['key:key_1'],
  quorum: 1,
  on_timeout: 'reject',
  status: 'pending',
  votes: [],
  created_at_ms: 1_790_000_000_000,
  expires_at_ms: 1_790_000_060_000,
};

async function asking(...records: readonly Partial<Approval>[]) {
  const world = await openWorld();
  const bucket = await world.bus.openBucket(approvalBucket);
  await Promise.all(
    records.map((more) => {
      const record = { ...ASKED, ...more };
      return bucket.put(approvalKey(record.tenant_id, record.approval_id), JSON.stringify(record));
    }),
  );
  return world;
}

const idsOf = (body: Record<string, unknown>): string[] => (body['data'] as { id: string }[]).map(({ id }) => id);

test('approvals of the tenant are listed newest first, by status and by pages', async () => {
  await using world = await asking(
    { approval_id: 'apr_1' },
    { approval_id: 'apr_2', created_at_ms: ASKED.created_at_ms + 1 },
    { approval_id: 'apr_3', created_at_ms: ASKED.created_at_ms + 2, status: 'expired' },
    { approval_id: 'apr_4', tenant_id: 'other' },
  );
  const { send } = world;
  assert.deepEqual(idsOf((await send('GET', '/api/v1/approvals')).body), ['apr_3', 'apr_2', 'apr_1']);
  assert.deepEqual(idsOf((await send('GET', '/api/v1/approvals?status=expired')).body), ['apr_3']);
  const first = (await send('GET', '/api/v1/approvals?limit=2')).body;
  const { next_cursor, has_more } = first['pagination'] as { next_cursor: string; has_more: boolean };
  assert.equal(has_more, true);
  assert.deepEqual(idsOf((await send('GET', `/api/v1/approvals?limit=2&cursor=${next_cursor}`)).body), ['apr_1']);
  assert.equal(codeOf(await send('GET', '/api/v1/approvals/apr_4')), 'not_found');
  assert.equal((await send('GET', '/api/v1/approvals/apr_1')).body['title'], 'Pay?');
});

test('a decision goes to the router with the option and who decides; its refusal is the answer', async () => {
  await using world = await asking({});
  const { send, router } = world;
  const decide = (body: object) => send('POST', '/api/v1/approvals/apr_1/decision', body);
  assert.equal((await decide({ option: 'yes', comment: 'fine' })).status, 200);
  const [command] = router.commands;
  assert.deepEqual(
    [command?.op, command?.job_id, command?.option, command?.comment, command?.principal],
    ['approve', ASKED.job_id, 'yes', 'fine', { key_id: 'key_1', role: 'admin' }],
  );
  assert.equal(fieldOf(await decide({ option: 'maybe' })), 'option');
  router.refuseControl = new BeamlineError('conflict', 'another option was chosen before');
  assert.deepEqual((await decide({ option: 'no' })).status, 409);
  router.refuseControl = new BeamlineError('gone', 'the time is over', { details: { reason: 'expired' } });
  assert.deepEqual((await decide({ option: 'no' })).status, 410);
});
