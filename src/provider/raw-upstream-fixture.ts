// An upstream of raw sockets, which may write anything, and the provider that asks it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { systemClock } from '../core/clock.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { Timers } from '../core/timers.ts';
import type { ChatChunk } from '../dialect/openai-chat.ts';
import { openOpenAiCompatible } from './openai-compatible.ts';
import type { ChatCall, ChatEnd, ChatSink, Provider, RunningCall } from './provider.ts';

export const KEY = 'tell-tale-key-0001';

/** A server of raw sockets: `onRequest` gets the whole text of each request and may write anything. */
interface Raw {
  readonly port: number;
  readonly sockets: readonly Socket[];
  readonly requests: readonly string[];
  /** Hears of every socket from now on. */
  onSocket(hear: (socket: Socket) => void): void;
}

export async function raw(
  context: TestContext,
  onRequest: (socket: Socket, request: string, nth: number) => void,
): Promise<Raw> {
  const sockets: Socket[] = [];
  const requests: string[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    let parts: Buffer[] = [];
    let missing = Number.POSITIVE_INFINITY;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      parts.push(bytes);
      missing -= bytes.length;
      if (missing === Number.POSITIVE_INFINITY) {
        const text = Buffer.concat(parts).toString('latin1');
        const end = text.indexOf('\r\n\r\n') + 4;
        if (end < 4) return;
        missing = end + Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0) - text.length;
      }
      if (missing > 0) return;
      const request = Buffer.concat(parts).toString('latin1');
      parts = [];
      missing = Number.POSITIVE_INFINITY;
      requests.push(request);
      onRequest(socket, request, requests.length);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { port: address.port, sockets, requests, onSocket: (heard) => void server.on('connection', heard) };
}

interface Opened {
  readonly provider: Provider;
  readonly timers: Timers;
}

export function open(
  context: TestContext,
  port: number,
  more: { key?: () => string; maxBodyBytes?: number; connections?: number } = {},
): Opened {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const { maxBodyBytes = 1_000_000, connections = 4 } = more;
  const provider = openOpenAiCompatible({
    id: 'p1',
    baseUrl: `http://127.0.0.1:${port}/v1/`,
    key: more.key ?? (() => KEY),
    headers: { 'x-extra': 'yes', Authorization: 'Bearer other' },
    timers,
    limits: { connectMs: 1000, maxBodyBytes, connections },
  });
  context.after(async () => {
    await provider[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  });
  return { provider, timers };
}

interface Heard {
  readonly chunks: readonly (readonly [raw: string, chunk: ChatChunk])[];
  readonly end: ChatEnd | undefined;
  readonly failure: ExecutionFailure | undefined;
}

/** Runs one call to its one end; a second end fails the test. */
export function hear(
  provider: Provider,
  call: Partial<ChatCall>,
  onChunk?: (running: RunningCall) => void,
): Promise<Heard> {
  const chunks: [string, ChatChunk][] = [];
  return new Promise((resolve, reject) => {
    let ends = 0;
    const finish = (end: ChatEnd | undefined, failure: ExecutionFailure | undefined): void => {
      if (++ends > 1) reject(new Error('a second end'));
      setImmediate(() => resolve({ chunks, end, failure }));
    };
    const sink: ChatSink = {
      chunk(text, chunk) {
        if (ends > 0) reject(new Error('a chunk after the end'));
        chunks.push([text, chunk]);
        onChunk?.(running);
      },
      end: (end) => finish(end, undefined),
      fail: (failure) => finish(undefined, failure),
    };
    const body = { model: 'asked', messages: [{ role: 'user', content: 'hello' }] };
    const running = provider.chat({ model: 'm', body, stream: false, firstChunkMs: 2000, idleMs: 2000, ...call }, sink);
  });
}

export const http = (status: number | string, headers: readonly string[], body: string | Buffer = ''): Buffer =>
  Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${status} X\r\n${[...headers, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n`,
    ),
    Buffer.from(body),
  ]);
export const JSON_TYPE = 'content-type: application/json';
export const SSE_HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n';
export const event = (json: string): string => `data: ${json}\n\n`;
export const content = (text: string, finish: string | null = null): string =>
  JSON.stringify({ model: 'm-1', choices: [{ index: 0, delta: { content: text }, finish_reason: finish }] });
export const answer = JSON.stringify({
  model: 'm-1',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hi there' }, finish_reason: 'stop' }],
  usage: {
    prompt_tokens: 9,
    completion_tokens: 5,
    prompt_tokens_details: { cached_tokens: 4 },
    completion_tokens_details: { reasoning_tokens: 3 },
  },
});
