// A relay between a scripted router and one reader, for its tests; the clock is moved by hand.
import assert from 'node:assert/strict';
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { type Cancel, cancel } from '../contracts/cancel.ts';
import { addressIn, at } from '../contracts/contract.ts';
import { type DecideRequest, type DecideResponse, decideV2 } from '../contracts/decide.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Order } from './order.ts';
import { startRelay } from './relay.ts';

const CORRELATION = { traceId: 't-1', tenantId: 'acme' };
const USAGE = { model: 'small', input_tokens: 1, output_tokens: 1, cost_micro_usd: 7 };

export const ORDER: Order = {
  requestId: 'rq-1',
  traceId: 't-1',
  tenantId: 'acme',
  keyId: 'key_1',
  userId: undefined,
  taskType: 'ai.chat',
  dialect: 'openai.chat',
  body: { messages: [] },
  stream: true,
  policyId: 'default',
  model: 'small',
  providersAllow: undefined,
  context: {},
  inputTokensEstimate: 3,
  outputTokensMax: undefined,
  scopes: ['ai:invoke'],
  sizeBytes: 120,
  deadlineMs: 60_000,
  idleMs: undefined,
  attemptsMax: undefined,
  wishes: undefined,
};

type RouterAnswer = 'decide' | 'silent' | { code: string; intake?: string };

export function openRelay(settings: { answers?: RouterAnswer[]; withRouter?: boolean; silenceMs?: number } = {}) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const asked: DecideRequest[] = [];
  const cancels: Cancel[] = [];
  const answers = settings.answers ?? [];
  const late: (() => void)[] = [];
  bus.subscribe(at(cancel), {}, (message) => {
    cancels.push(message);
    link.onCancel?.();
  });
  if (settings.withRouter !== false) {
    bus.serve(at(decideV2), {}, (request) => {
      asked.push(request);
      const answer = answers.shift() ?? 'decide';
      const decided = decisionOf(request, `a-${asked.length}`, settings.silenceMs ?? 4_000);
      if (answer === 'silent') return new Promise<DecideResponse>((resolve) => late.push(() => resolve(decided)));
      return answer === 'decide' ? decided : refusalOf(answer);
    });
  }
  const link: { isFull: boolean; onCancel?: () => void } = { isFull: false };
  const lines: string[] = [];
  const relay = startRelay({
    bus: refusing(bus, link),
    timers,
    telemetry: { ...telemetry, log: openLog('warn', { write: (line) => void lines.push(line) }) },
    settings: { gatewayId: 'gw-1', decideTimeoutMs: 2_000, silenceMs: settings.silenceMs ?? 4_000 },
    tenantOf: (tenantId) => ({ tier: 'gold', labels: { of: tenantId } }),
  });
  const heard: string[] = [];
  const exchange = relay.open(ORDER, {
    chunk: (raw, isUsageOnly) => void heard.push(isUsageOnly ? `usage ${raw}` : `chunk ${raw}`),
    end(frame) {
      if (frame.raw !== undefined) heard.push(`whole ${frame.raw}`);
      heard.push(`end ${frame.finish_reason}`);
    },
    fail: (error) => void heard.push(`fail ${error.code}`),
  });
  assert.deepEqual(heard, [], 'the reader is never called before open has returned');
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(Math.min(50, left));
      timers.tick();
      // eslint-disable-next-line no-await-in-loop -- one moment after the other
      await settled();
    }
  };
  const send = (frame: Partial<StreamFrame> & { type: StreamFrame['type'] }, seq: number, more: object = {}): void => {
    const to = addressIn(frames, asked[0]?.deliver_to ?? 'beamline.exec.v2.frames.gw-1.0');
    const message = { assignment_id: 'a-1', attempt: 1, seq, ...BODY[frame.type], ...frame, ...more } as StreamFrame;
    bus.publish(to, message, CORRELATION);
  };
  /** The routers that were silent answer now. */
  const release = async (): Promise<void> => {
    for (const answer of late.splice(0)) answer();
    await settled();
  };
  const stop = async (): Promise<void> => {
    await release();
    await relay[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  return { relay, exchange, asked, cancels, heard, lines, link, pass, send, release, stop };
}

/** A bus that is connected and takes nothing more to publish while it is full, as a slow server makes it. */
const refusing = (bus: Bus, link: { readonly isFull: boolean }): Bus =>
  new Proxy(bus, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      if (name !== 'publish') return member.bind(target);
      return (...given: unknown[]): unknown => {
        if (link.isFull) throw new BeamlineError('unavailable', 'the bus takes no more at present');
        return Reflect.apply(member, target, given);
      };
    },
  });

const BODY: Readonly<Record<StreamFrame['type'], object>> = {
  start: { provider_id: 'alder', model: 'small', worker_id: 'w-1', created_ms: 1 },
  chunk: { raw: '{}' },
  heartbeat: {},
  end: { finish_reason: 'stop', usage: USAGE, total_cost_micro_usd: 9 },
  error: { error: { code: 'provider_error', message: 'no', retryable: false }, committed: false },
};

const decisionOf = (
  { request_id, deliver_to = '' }: DecideRequest,
  assignmentId: string,
  silenceMs: number,
): DecideResponse => ({
  version: '2',
  ok: true,
  decision: {
    provider_id: 'alder',
    reason: 'weighted',
    priority: 50,
    policy_id: 'default',
    policy_revision: 3,
    fallback_used: false,
  },
  assignment: {
    assignment_id: assignmentId,
    attempt: 1,
    subject: 'caf.exec.call.v2.default',
    deadline_ms: 1,
    durable: false,
  },
  stream: { deliver_to, heartbeat_ms: 1_000, silence_ms: silenceMs },
  context: { request_id },
});

const refusalOf = ({ code, intake }: { code: string; intake?: string }): DecideResponse => ({
  version: '2',
  ok: false,
  error: { code, message: 'refused', retryable: false, ...(intake === undefined ? {} : { intake_error_code: intake }) },
  context: {},
});

export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
