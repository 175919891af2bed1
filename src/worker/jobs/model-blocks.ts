// The blocks that ask a model: one whole answer of a provider, as its own dialect writes it.
import { payload } from '../../contracts/contract.ts';
import { FilledObject, OpenObject } from '../../contracts/fields.ts';
import type { ExecutionFailure } from '../../core/execution-errors.ts';
import type { ChatEnd, ChatSink, Consumed, RunningCall, TokenUsage } from '../../provider/provider.ts';
import { type Block, type BlockContext, BlockFailure, type BlockResult, type BlockUsage } from '../blocks/block.ts';
import { type CostOf, estimateTokens, mayBeCharged, meter } from '../metering.ts';
import { postProcessed } from '../post-processed.ts';
import type { PostProcessors } from '../post-processors.ts';
import { type ModelTask, PROVIDER_SIDES, type ProviderTarget } from '../provider-sides.ts';

type Body = Readonly<Record<string, unknown>>;

export interface ModelBlockDeps {
  readonly target: (providerId: string, model: string) => ProviderTarget | undefined;
  readonly costOf: CostOf;
  readonly posts: PostProcessors;
  readonly limits: { readonly first_chunk_ms: number; readonly idle_ms: number };
}

export const modelBlocks = (deps: ModelBlockDeps): readonly Block[] => [
  modelBlock(deps, 'ai.chat', 'AiChat'),
  modelBlock(deps, 'ai.embed', 'AiEmbed'),
];

const modelBlock = (deps: ModelBlockDeps, type: ModelTask, name: string): Block<Body, Body> => ({
  type,
  version: '1',
  class: 'io',
  effect: () => 'external',
  scopes: ['ai:invoke'],
  input: payload(`beamline.block.${name}Input`, '1', FilledObject),
  output: payload(`beamline.block.${name}Output`, '1', OpenObject),
  execute: (body, context) => new Promise((resolve, reject) => ask(deps, type, body, context, { resolve, reject })),
  estimate(body, { executor }) {
    const { provider_id: providerId, model = '-' } = executor;
    return meter(deps.costOf, { providerId, model, tokens: estimateTokens(body, 0), isEstimated: true });
  },
});

interface Answering {
  readonly resolve: (result: BlockResult<Body>) => void;
  readonly reject: (failure: BlockFailure) => void;
}

function ask(
  deps: ModelBlockDeps,
  type: ModelTask,
  body: Body,
  context: BlockContext,
  { resolve, reject }: Answering,
): void {
  const { assignment, signal } = context;
  const { provider_id: providerId, model = '-' } = assignment.executor;
  const { dialect, limits } = assignment;
  const target = deps.target(providerId, model);
  if (target === undefined) {
    const message = 'this worker does not have the provider';
    return reject(new BlockFailure('WORKER_UNAVAILABLE', message, { detailCode: 'unsupported_provider' }));
  }
  const side = PROVIDER_SIDES[type](target.provider);
  if (side === undefined) {
    return reject(new BlockFailure('INVALID_INPUT', 'the provider does not do this', { detailCode: 'feature' }));
  }
  // Translation between dialects is not built: only a provider of the order's own dialect can serve it.
  if (dialect !== undefined && dialect !== side.dialect) {
    return reject(new BlockFailure('INVALID_INPUT', 'the provider speaks another dialect', { detailCode: 'dialect' }));
  }
  const usageOf = (tokens: TokenUsage, isEstimated: boolean): BlockUsage =>
    meter(deps.costOf, { providerId, model, tokens, isEstimated });
  // What was asked for was asked for, even if nothing came back.
  const estimate = (outputChars: number): BlockUsage => usageOf(estimateTokens(body, outputChars), true);

  const usageIn = ({ usage, outputChars }: Consumed): BlockUsage =>
    usage === undefined ? estimate(outputChars) : usageOf(usage, false);

  let running: RunningCall | undefined;
  /** Of an answer that was there in full, though it did not get through. */
  const consumed = (): BlockUsage | undefined => {
    const answer = running?.consumed?.();
    return answer === undefined ? undefined : usageIn(answer);
  };
  const stop = (): void => {
    running?.abort();
    // The worker knows why it stopped; only what was consumed matters.
    reject(new BlockFailure('CANCELLED_BY_USER', 'stopped', { usage: consumed() ?? estimate(0) }));
  };
  const sink: ChatSink = {
    chunk: () => undefined,
    end(end) {
      signal.removeEventListener('abort', stop);
      const usage = usageIn(end);
      const output = bodyOf(end);
      if (output !== undefined) return resolve({ output, usage, finishReason: end.finishReason });
      reject(new BlockFailure('PROVIDER_PROTOCOL_ERROR', 'the provider answered without an object', { usage }));
    },
    fail(failure) {
      signal.removeEventListener('abort', stop);
      reject(failed(failure, consumed() ?? (mayBeCharged(failure) ? estimate(0) : undefined)));
    },
  };
  signal.addEventListener('abort', stop, { once: true });
  const { timers } = context;
  running = postProcessed(side, assignment, false, { ...deps, timers }).chat(
    {
      callId: `${assignment.assignment_id}:${assignment.attempt ?? 1}`,
      order: assignment,
      model: target.upstreamModel,
      body,
      stream: false,
      firstChunkMs: limits?.first_chunk_ms ?? deps.limits.first_chunk_ms,
      idleMs: limits?.idle_ms ?? deps.limits.idle_ms,
    },
    sink,
  );
}

const failed = ({ code, message, ...more }: ExecutionFailure, usage: BlockUsage | undefined): BlockFailure =>
  new BlockFailure(code, message, { ...more, ...(usage === undefined ? {} : { usage }) });

function bodyOf({ raw }: ChatEnd): Body | undefined {
  try {
    const value: unknown = JSON.parse(raw ?? '');
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Body) : undefined;
  } catch {
    return undefined;
  }
}
