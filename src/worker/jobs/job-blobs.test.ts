import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError } from '../../core/errors.ts';
import { BLOB_BYTES_MAX } from '../../store/blobs.ts';
import type { JobBlobs } from './job-blobs.ts';
import { openJobs, settled } from './job-fixture.ts';

/** Blobs in memory, which fail as often as a test says. */
function openBlobs() {
  const kept = new Map<string, Buffer>();
  const faults: BeamlineError[] = [];
  const blobs: JobBlobs = {
    async keep(tenantId, bytes, owner) {
      const fault = faults.shift();
      if (fault !== undefined) throw fault;
      const ref = `blob://${tenantId}/${owner}`;
      kept.set(ref, Buffer.from(bytes));
      return ref;
    },
    async read(tenantId, ref) {
      const fault = faults.shift();
      if (fault !== undefined) throw fault;
      return ref.startsWith(`blob://${tenantId}/`) ? kept.get(ref) : undefined;
    },
  };
  return { kept, faults, blobs };
}

const LARGE = { text: 'x'.repeat(300_000) };

test('an output that is too large for a message is told by its reference', async () => {
  const { kept, blobs } = openBlobs();
  await using world = await openJobs({ worker: { blobs } });
  await world.assign();
  await settled();
  world.executions[0]?.resolve({ output: LARGE, usage: { requests: 1 } });
  await settled();
  const [result] = world.heard.results;
  assert.deepEqual([result?.status, result?.output, result?.output_ref], ['success', undefined, 'blob://acme/a-1:1']);
  assert.deepEqual(JSON.parse(String(kept.get('blob://acme/a-1:1'))), LARGE);
  assert.equal(await world.unacknowledged(), 0);
});

const nested = (levels: number): object => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`) as object;

test('an output that is nested deeper than a message is told by its reference', async () => {
  const { kept, blobs } = openBlobs();
  await using world = await openJobs({ worker: { blobs } });
  for (const levels of [60, 61, 500]) {
    const id = `a-${levels}`;
    // eslint-disable-next-line no-await-in-loop -- one job after the other
    await world.assign({ assignment_id: id });
    // eslint-disable-next-line no-await-in-loop -- as above
    await settled();
    world.executions.at(-1)?.resolve({ output: nested(levels), usage: { requests: 1 } });
    // eslint-disable-next-line no-await-in-loop -- as above
    await settled();
  }
  assert.deepEqual(
    world.heard.results.map(({ output_ref, output, usage }) => [output_ref, output === undefined, usage?.requests]),
    [
      [undefined, false, 1],
      ['blob://acme/a-61:1', true, 1],
      ['blob://acme/a-500:1', true, 1],
    ],
  );
  assert.deepEqual(JSON.parse(String(kept.get('blob://acme/a-61:1'))), nested(61));
});

test('an output that is nested too deep to be written has failed, and is billed', async () => {
  await using world = await openJobs({ worker: { blobs: openBlobs().blobs } });
  await world.assign();
  await settled();
  let deep: object = {};
  for (let level = 0; level < 1_000_000; level++) deep = { deep };
  world.executions[0]?.resolve({ output: deep as Record<string, unknown>, usage: { requests: 1 } });
  await settled();
  assert.deepEqual(
    world.heard.results.map(({ error_code, usage }) => [error_code, usage?.requests]),
    [['OUTPUT_TOO_LARGE', 1]],
  );
});

test('the work is not done again for a store that is away for a moment', async () => {
  const { faults, blobs } = openBlobs();
  await using world = await openJobs({ worker: { blobs } });
  await world.assign();
  await settled();
  faults.push(new BeamlineError('unavailable', 'away'), new BeamlineError('unavailable', 'away'));
  world.executions[0]?.resolve({ output: LARGE });
  await settled();
  assert.equal(world.heard.results.length, 0);
  world.pass(1_000);
  await settled();
  world.pass(1_000);
  await settled();
  assert.deepEqual([world.heard.results[0]?.status, world.executions.length], ['success', 1]);
});

const KEPT_NOT: readonly (readonly [what: string, text: number, fault: BeamlineError | undefined, code: string])[] = [
  ['too much for a blob', BLOB_BYTES_MAX, undefined, 'OUTPUT_TOO_LARGE'],
  ['beyond the quota', 300_000, new BeamlineError('quota_exceeded', 'enough'), 'QUOTA_EXCEEDED'],
  [
    'for a store that is full',
    300_000,
    new BeamlineError('unavailable', 'full', { details: { reason: 'stream_full' } }),
    'RESOURCE_UNAVAILABLE',
  ],
];
for (const [what, length, fault, code] of KEPT_NOT) {
  test(`an output ${what} fails the attempt, which is billed`, async () => {
    const { faults, blobs } = openBlobs();
    await using world = await openJobs({ worker: { blobs } });
    await world.assign();
    await settled();
    if (fault !== undefined) faults.push(fault);
    world.executions[0]?.resolve({ output: { text: 'x'.repeat(length) }, usage: { requests: 1 } });
    await settled();
    const [result] = world.heard.results;
    assert.deepEqual([result?.status, result?.error_code, result?.usage?.requests], ['error', code, 1]);
  });
}

test('a cancel ends the wait for a store that is away', async () => {
  const { faults, blobs } = openBlobs();
  await using world = await openJobs({ worker: { blobs } });
  await world.assign();
  await settled();
  faults.push(new BeamlineError('unavailable', 'away'));
  world.executions[0]?.resolve({ output: LARGE });
  await settled();
  world.cancel();
  await settled();
  assert.deepEqual(
    world.heard.results.map(({ status }) => status),
    ['cancelled'],
  );
});

test('a payload is read by its reference, of its own tenant only', async () => {
  const { kept, blobs } = openBlobs();
  kept.set('blob://acme/p', Buffer.from(JSON.stringify({ effect: 'none' })));
  kept.set('blob://other/p', Buffer.from(JSON.stringify({ effect: 'none' })));
  kept.set('blob://acme/list', Buffer.from('[1]'));
  kept.set('blob://acme/text', Buffer.from('{"effect":'));
  kept.set('blob://acme/large', Buffer.from(JSON.stringify({ effect: 'none', more: 'x'.repeat(4_200_000) })));
  await using world = await openJobs({ worker: { blobs } });
  const refs = ['acme/p', 'other/p', 'acme/list', 'acme/text', 'acme/large', 'acme/absent'];
  for (const [n, ref] of refs.entries()) {
    // eslint-disable-next-line no-await-in-loop -- in this order
    await world.assign({ assignment_id: `a-${n}`, job: { type: 'test.hand', payload_ref: `blob://${ref}` } });
  }
  await settled();
  assert.deepEqual(
    world.executions.map(({ input, context }) => [context.assignmentId, input]),
    [['a-0', { effect: 'none' }]],
  );
  assert.deepEqual(
    world.heard.results.map(({ assignment_id, error_code }) => [assignment_id, error_code]),
    ['a-1', 'a-2', 'a-3', 'a-4', 'a-5'].map((id) => [id, 'INVALID_INPUT']),
  );
});

test('a payload in a store that is away waits for it, and a damaged one fails', async () => {
  const { kept, faults, blobs } = openBlobs();
  kept.set('blob://acme/p', Buffer.from(JSON.stringify({ effect: 'none' })));
  await using world = await openJobs({ worker: { blobs } });
  faults.push(new BeamlineError('unavailable', 'away'));
  await world.assign({ job: { type: 'test.hand', payload_ref: 'blob://acme/p' } });
  await settled();
  assert.deepEqual([world.executions.length, world.heard.results.length], [0, 0]);
  for (let second = 0; second < 3; second++) {
    world.pass(1_000);
    // eslint-disable-next-line no-await-in-loop -- in this order
    await settled();
  }
  assert.equal(world.executions.length, 1);
  faults.push(new BeamlineError('internal', 'damaged'));
  await world.assign({ assignment_id: 'a-2', job: { type: 'test.hand', payload_ref: 'blob://acme/p' } });
  await settled();
  assert.equal(world.heard.results.at(-1)?.error_code, 'INVALID_INPUT');
});
