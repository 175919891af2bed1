// The port to the code of one job type (worker 11): schemas on both sides, what repeating it may do, and how it is run.
// K1. The worker checks scopes and the input before `execute` and the output after it; a block need not.
// K2. A block fails by throwing `BlockFailure`; anything else that it throws is `INTERNAL_ERROR`, and its text goes nowhere.
// K3. `signal` reaches every socket, file, query and thread of the block; after it nothing of the block may go on.
import type { ApprovalVerdict, ExecAssignment } from '../../contracts/assignment.ts';
import type { Payload } from '../../contracts/contract.ts';
import type { Usage } from '../../contracts/fields.ts';
import type { SlotClass } from '../../contracts/slot-class.ts';
import type { ExecutionCode, ExecutionFailure } from '../../core/execution-errors.ts';
import type { Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';

/** `none` and `idempotent` may run again after a crash; `external` never does by itself. */
export type Effect = 'none' | 'idempotent' | 'external';

/** What was consumed; what is left out is zero. Without a `model` it is the block's type. */
export type BlockUsage = Partial<Usage>;

export interface BlockContext {
  readonly tenantId: string;
  readonly assignmentId: string;
  readonly attempt: number;
  /** The same for every attempt at this work. */
  readonly idempotencyKey: string;
  readonly scopes: readonly string[];
  /** Aborted by a cancel, the deadline or the end of the worker; its reason is the failure that the attempt ends with. */
  readonly signal: AbortSignal;
  /** A moment of the monotonic clock: the attempt ends then, whatever runs. */
  readonly deadlineMs: number;
  /** What people decided, for the block that asked them. */
  readonly approval: ApprovalVerdict | undefined;
  /** The whole order, for blocks that need the provider, the model or the limits. */
  readonly assignment: ExecAssignment;
  readonly timers: Timers;
  readonly log: Log;
}

export interface BlockResult<O = unknown> {
  readonly output: O;
  /** Absent: nothing was consumed, and there is no row of usage. */
  readonly usage?: BlockUsage;
  readonly finishReason?: string;
}

/** Methods, so that a block of one input is a block: its input has passed `input` before it is called. */
export interface Block<I = unknown, O = unknown> {
  readonly type: string;
  readonly version: string;
  /** `io` runs on the event loop; `cpu` on a thread that can be killed. */
  readonly class: SlotClass;
  effect(input: I): Effect;
  readonly scopes: readonly string[];
  readonly input: Payload<I>;
  readonly output: Payload<O>;
  execute(input: I, context: BlockContext): Promise<BlockResult<O>>;
  /** What an attempt may have consumed that began in a process which died; absent: nothing that is billed. */
  estimate?(input: I, order: ExecAssignment): BlockUsage;
}

export interface BlockFailureOptions extends ErrorOptions, Omit<ExecutionFailure, 'code' | 'message'> {
  /** What was consumed before it failed. */
  readonly usage?: BlockUsage;
}

/** How a block fails: an execution code, and a message without addresses, bodies, keys or headers of others. */
export class BlockFailure extends Error {
  override readonly name = 'BlockFailure';
  readonly failure: ExecutionFailure;
  readonly usage: BlockUsage | undefined;

  constructor(code: ExecutionCode, message: string, options: BlockFailureOptions = {}) {
    super(message, options);
    const { detailCode, retryAfterMs, httpStatus, originalSha256 } = options;
    this.failure = {
      code,
      message,
      ...(detailCode === undefined ? {} : { detailCode }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(httpStatus === undefined ? {} : { httpStatus }),
      ...(originalSha256 === undefined ? {} : { originalSha256 }),
    };
    this.usage = options.usage;
  }
}

/** Names that callers use for types of ours (worker 11). */
const ALIASES: Readonly<Record<string, string>> = {
  chat: 'ai.chat',
  'chat.completion': 'ai.chat',
  completion: 'ai.completion',
  'text.completion': 'ai.completion',
  embedding: 'ai.embed',
};

/** The blocks by type, their aliases included; of two blocks of one type the later one stands. */
export function openBlocks(list: readonly Block[]): ReadonlyMap<string, Block> {
  const blocks = new Map(list.map((block) => [block.type, block]));
  for (const [alias, type] of Object.entries(ALIASES)) {
    const block = blocks.get(type);
    if (block !== undefined && !blocks.has(alias)) blocks.set(alias, block);
  }
  return blocks;
}
