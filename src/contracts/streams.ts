// The streams and their durable consumers as data (contracts 3): settings that a 2.9 server understands.
import { DEFAULT_POOL, execAssign, execAssignPool } from './assignment.ts';
import { deadLetter } from './dead-letter.ts';
import { execResult } from './result.ts';
import type { HeaderSet } from './headers.ts';
import { fillSubject } from './subject.ts';
import { usageMetered } from './usage.ts';

/** A full stream refuses. One of limits is emptied by age, or by its reader, who trims what is kept elsewhere. */
export interface StreamSpec {
  readonly name: string;
  /** Exact; a wildcard would capture other subjects. */
  readonly subject: string;
  readonly retention: 'workqueue' | 'limits';
  /** 0: no limit. */
  readonly ageMsMax: number;
  readonly bytesMax: number;
  /** What its messages must carry; absent: nothing, as with v1. */
  readonly headers?: HeaderSet;
}

export interface ConsumerSpec {
  readonly durable: string;
  readonly ackWaitMs: number;
  readonly ackPendingMax: number;
  /** Waits before redelivery n; the last one repeats. */
  readonly nakDelaysMs: readonly number[];
  /** Deliveries after which a message is dead-lettered unprocessed; absent: it is delivered again without end. */
  readonly deliveryLimit?: number;
}

const DAY_MS = 86_400_000;
const GIB = 1024 ** 3;

export const resultStream: StreamSpec = {
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: GIB,
  headers: execResult.headers,
};

export const usageStream: StreamSpec = {
  name: 'BEAMLINE_USAGE',
  subject: usageMetered.template,
  retention: 'limits',
  ageMsMax: 14 * DAY_MS,
  bytesMax: GIB,
  headers: usageMetered.headers,
};

/** The assignments of one pool; the default pool has the frozen subject. */
export const assignStream = (pool: string): StreamSpec => ({
  name: pool === DEFAULT_POOL ? 'CAF_ASSIGN' : `CAF_ASSIGN_${pool}`,
  subject: pool === DEFAULT_POOL ? execAssign.template : fillSubject(execAssignPool.template, { pool }),
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: GIB,
  headers: pool === DEFAULT_POOL ? execAssign.headers : execAssignPool.headers,
});

export const deadLetterStream: StreamSpec = {
  name: 'BEAMLINE_DLQ',
  subject: deadLetter.template,
  retention: 'limits',
  ageMsMax: 30 * DAY_MS,
  bytesMax: GIB,
  headers: deadLetter.headers,
};

/** Shared by all workers of a pool. */
export const workerAssignments = (pool: string): ConsumerSpec => ({
  durable: pool === DEFAULT_POOL ? 'caf-workers' : `caf-workers-${pool}`,
  ackWaitMs: 30_000,
  ackPendingMax: 10_000,
  nakDelaysMs: [1_000, 5_000, 15_000, 30_000],
  deliveryLimit: 5,
});

export const routerResults: ConsumerSpec = {
  durable: 'router-results',
  ackWaitMs: 30_000,
  ackPendingMax: 1_000,
  nakDelaysMs: [1_000, 2_000, 4_000],
  deliveryLimit: 10,
};

export const ledgerUsage: ConsumerSpec = {
  durable: 'ledger-usage',
  ackWaitMs: 30_000,
  ackPendingMax: 5_000,
  nakDelaysMs: [1_000, 5_000, 30_000],
};
