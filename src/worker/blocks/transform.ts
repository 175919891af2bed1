// The block `transform`: a value made of data by an expression of the policy language, on a thread that is killed when it
// takes too much (worker 11).
import { Type } from 'typebox';
import { payload } from '../../contracts/contract.ts';
import type { ExecutionCode } from '../../core/execution-errors.ts';
import type { Timers } from '../../core/timers.ts';
import { type Block, BlockFailure, type BlockFailureOptions } from './block.ts';
import { type RunEnd, RunEnded, Runners } from './runners.ts';
import { openThread } from './thread-runner.ts';
import type { TransformAnswer, TransformRequest } from './transform-thread.ts';

export interface TransformOptions {
  readonly timers: Timers;
  /** Slots of class `cpu`: so many expressions run at a time. */
  readonly threadsMax: number;
}

const BYTES_MAX = 1_048_576;
const CPU_MS = 250;

const Input = Type.Object({ expression: Type.String({ minLength: 1, maxLength: 4_096 }), data: Type.Unknown() });
type Input = Type.Static<typeof Input>;
const Output = Type.Object({ value: Type.Unknown() });

const ENDS: Readonly<Record<RunEnd, readonly [ExecutionCode, string, BlockFailureOptions]>> = {
  busy: ['SYSTEM_OVERLOAD', 'too many expressions wait', { detailCode: 'threads' }],
  cpu: [
    'EXECUTION_FAILED',
    `the expression took more than ${CPU_MS} ms`,
    { detailCode: 'cpu_time', usage: { cpu_ms: CPU_MS } },
  ],
  memory: ['EXECUTION_FAILED', 'the expression took too much memory', { detailCode: 'memory' }],
  crash: ['INTERNAL_ERROR', 'the thread ended', {}],
};

export interface TransformBlock extends Block<Input, Type.Static<typeof Output>>, AsyncDisposable {}

export function openTransform({ timers, threadsMax }: TransformOptions): TransformBlock {
  const module = new URL('./transform-thread.ts', import.meta.url);
  const threads = new Runners<TransformRequest, TransformAnswer>({
    open: () => openThread(module),
    runnersMax: threadsMax,
    timers,
  });
  return {
    type: 'transform',
    version: '1',
    class: 'cpu',
    scopes: [],
    effect: () => 'none',
    input: payload('beamline.block.transform.Input', '1', Input),
    output: payload('beamline.block.transform.Output', '1', Output),
    async execute({ expression, data }, { signal }) {
      const text = JSON.stringify(data ?? null);
      if (Buffer.byteLength(text) > BYTES_MAX) throw new BlockFailure('INVALID_INPUT', 'the data has more than 1 MiB');
      const run = threads.run({ expression, data: text }, { signal, cpuMs: CPU_MS });
      const { answer, cpuMs } = await run.catch((fault: unknown) => {
        throw fault instanceof RunEnded ? new BlockFailure(...ENDS[fault.end]) : fault;
      });
      return { output: { value: valueOf(answer) }, usage: { cpu_ms: cpuMs } };
    },
    [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose](),
  };
}

function valueOf(answer: TransformAnswer): unknown {
  if (answer.kind === 'refused') {
    throw new BlockFailure('INVALID_INPUT', `the expression ${answer.message}`, { detailCode: 'expression' });
  }
  if (answer.kind === 'failed') {
    throw new BlockFailure('EXECUTION_FAILED', answer.message, { detailCode: answer.code });
  }
  if (Buffer.byteLength(answer.json) <= BYTES_MAX) return JSON.parse(answer.json);
  throw new BlockFailure('OUTPUT_TOO_LARGE', 'the value has more than 1 MiB');
}
