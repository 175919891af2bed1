// A worker on a memory bus and a clock moved by hand, with a provider that the test plays by hand.
import assert from 'node:assert/strict';
import { openMemoryBus } from '../bus/memory.ts';
import { type ExecAssignment, execCall } from '../contracts/assignment.ts';
import { at, everyOf } from '../contracts/contract.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { workerHeartbeat } from '../contracts/heartbeat.ts';
import { type AttemptOutcome, attemptOutcome } from '../contracts/outcome.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import { resultStream, routerResults } from '../contracts/streams.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { readChunk } from '../dialect/openai-chat.ts';
import type { ChatCall, ChatSink, Provider, ProviderSide } from '../provider/provider.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { startWorker } from './worker.ts';

export const CORRELATION = { traceId: 't-1', tenantId: 'acme' };
export const text = (content: string): string =>
  JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
export const ROLE = JSON.stringify({ choices: [{ index: 0, delta: { role: 'assistant' }, finish_reason: null }] });

/** A provider that the test plays by hand. */
export class HandProvider implements Provider {
  readonly id = 'hand';
  readonly dialect = 'openai.chat';
  embeddings?: ProviderSide;
  readonly sinks: ChatSink[] = [];
  aborted = 0;
  readonly calls: ChatCall[] = [];
  chat(call: ChatCall, sink: ChatSink) {
    this.calls.push(call);
    this.sinks.push(sink);
    return { abort: () => void this.aborted++ };
  }
  chunk(raw: string): void {
    const chunk = readChunk(raw);
    assert.ok(chunk);
    this.sinks.at(-1)?.chunk(raw, chunk);
  }
  end(): void {
    const usage = { inputTokens: 10, outputTokens: 4, cachedInputTokens: 3, reasoningTokens: 0 };
    this.sinks.at(-1)?.end({ model: 'm', finishReason: 'stop', usage, raw: '{"ok":true}', outputChars: 16 });
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

export async function openWorker(settings: { io?: number; queueMax?: number; waitMs?: number } = {}) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const provider = new HandProvider();
  const measured = { lag: 0, skew: 0 };
  const heard = {
    frames: [] as StreamFrame[],
    outcomes: [] as AttemptOutcome[],
    results: [] as ExecResult[],
    beats: [] as string[],
  };
  bus.subscribe(everyOf(frames), {}, (frame) => void heard.frames.push(frame));
  bus.subscribe(at(attemptOutcome), {}, (outcome) => void heard.outcomes.push(outcome));
  bus.subscribe(at(workerHeartbeat), {}, (beat) => void heard.beats.push(beat.status));
  await bus.ensureStream(resultStream);
  await bus.consume({ stream: resultStream, consumer: routerResults, message: execResult.message }, (delivery) => {
    heard.results.push(delivery.message);
    delivery.ack();
  });
  const worker = await startWorker({
    bus,
    timers,
    telemetry,
    providers: ['hand'],
    models: new Map([['hand', ['small']]]),
    target: (id, model) => (id === 'hand' ? { provider, upstreamModel: `up-${model}` } : undefined),
    costOf: (_, __, usage) => ({ costMicroUsd: usage.inputTokens + 2 * usage.outputTokens, isUnpriced: false }),
    clockSkewMs: () => measured.skew,
    measured: { lagMs: () => measured.lag, memoryShare: () => 0, [Symbol.dispose]: () => undefined },
    settings: {
      id: 'w-1',
      pool: 'default',
      slots: { io: settings.io ?? 8, cpu: 1 },
      queue: {
        max: settings.queueMax ?? 8,
        tenant_max: settings.queueMax ?? 8,
        call_wait_ms: settings.waitMs ?? 1_000,
      },
      jobs_max_share: 0.75,
      jobs_min_share: 0.25,
      tenant_max_share: 0.5,
      heartbeat_ms: 5_000,
      shutdown: { timeout_ms: 5_000 },
      frame_heartbeat_ms: 1_000,
      first_chunk_ms: 60_000,
      idle_ms: 60_000,
    },
  });
  const pass = (ms: number): void => {
    clock.advance(ms);
    timers.tick();
  };
  const call = (more: Partial<ExecAssignment> = {}) =>
    bus.request(
      at(execCall, { pool: 'default' }),
      { ...ASSIGNMENT, ...more },
      { timeoutMs: 1_000, correlation: CORRELATION },
    );
  const stop = async (): Promise<void> => {
    await worker[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  const { metrics } = telemetry;
  return { bus, provider, heard, lines, pass, call, worker, stop, timers, measured, metrics };
}

export const ASSIGNMENT: ExecAssignment = {
  version: '1',
  assignment_id: 'a-1',
  request_id: 'r-1',
  tenant_id: 'acme',
  attempt: 1,
  executor: { provider_id: 'hand', channel: 'nats', model: 'small', pool: 'default' },
  job: { type: 'ai.chat', payload: { messages: [{ role: 'user', content: 'hello' }] } },
  options: { deadline_ms: 30_000 },
  metadata: { policy_id: 'default' },
  stream: true,
  dialect: 'openai.chat',
  deliver_to: 'beamline.exec.v2.frames.gw.s1',
};

export const kinds = (heard: { frames: StreamFrame[] }): string[] => heard.frames.map(({ type }) => type);
export const settled = () => new Promise((resolve) => setImmediate(resolve));
