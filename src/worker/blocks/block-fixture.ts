// Runs a block in tests as the worker does: its input and its output are held against their schemas.
import assert from 'node:assert/strict';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import type { Block, BlockContext, BlockResult } from './block.ts';
import { BlockFailure } from './block.ts';

const timers = new Timers(systemClock, { tickMs: 5 });

export const blockContext = (more: Partial<BlockContext> = {}): BlockContext => ({
  tenantId: 'acme',
  assignmentId: 'a1',
  attempt: 1,
  idempotencyKey: 'idem-1',
  scopes: ['http:egress', 'fs:read', 'fs:write', 'sql:read', 'human:request'],
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  approval: undefined,
  assignment: {
    version: '1',
    assignment_id: 'a1',
    request_id: 'r1',
    tenant_id: 'acme',
    executor: { provider_id: 'worker', channel: 'nats' },
    job: { type: 'test' },
    options: { deadline_ms: 60_000 },
  },
  timers,
  log: openLog('silent', { write: () => undefined }),
  ...more,
});

export async function runBlock<I, O>(
  block: Block<I, O>,
  input: I,
  context: Partial<BlockContext> = {},
): Promise<BlockResult<O>> {
  assert.ok(block.input.check(input), block.input.fault(input));
  const result = await block.execute(input, blockContext(context));
  assert.ok(block.output.check(result.output), block.output.fault(result.output));
  return result;
}

/** `CODE detail` of the failure, or what else became of it. */
export const failureOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'done',
    (fault: unknown) => {
      if (!(fault instanceof BlockFailure)) return String(fault);
      const { code, detailCode } = fault.failure;
      return detailCode === undefined ? code : `${code} ${detailCode}`;
    },
  );
