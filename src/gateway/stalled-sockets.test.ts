import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { CHAT, endFrame, openEdge, SETTINGS, until } from './edge-fixture.ts';
import { openRaw } from './raw-http.ts';
import { StalledSockets } from './stalled-sockets.ts';

const STALL_MS = 30_000;

function watched() {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const socket = { writableLength: 0, bytesWritten: 0, _handle: { writeQueueSize: 0 } };
  const state = { isOwned: false, cuts: 0 };
  const cut = (): void => {
    state.cuts++;
    stalled.delete(socket);
  };
  const stalled = new StalledSockets<typeof socket>({ timers, stallMs: STALL_MS, isOwned: () => state.isOwned, cut });
  stalled.add(socket);
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= 1_000) {
      clock.advance(1_000);
      timers.tick();
    }
  };
  return { socket, state, pass, stop: () => stalled.delete(socket) };
}

const wrote = (socket: ReturnType<typeof watched>['socket'], bytes: number): void => {
  socket.bytesWritten += bytes;
  socket.writableLength = bytes;
  socket._handle.writeQueueSize = bytes;
};

test('a socket with nothing to write may be silent for ever', () => {
  const { state, pass, stop } = watched();
  pass(10 * STALL_MS);
  assert.equal(state.cuts, 0);
  stop();
});

test('a peer that takes nothing is cut', () => {
  const { socket, state, pass } = watched();
  pass(100_000);
  wrote(socket, 1_000_000);
  pass(STALL_MS - 1_000);
  assert.equal(state.cuts, 0);
  pass(STALL_MS);
  assert.equal(state.cuts, 1);
});

test('a peer that takes a little of one large write at a time is not', () => {
  const { socket, state, pass, stop } = watched();
  wrote(socket, 1_000_000);
  for (let i = 0; i < 20; i++) {
    pass(STALL_MS - 10_000);
    socket._handle.writeQueueSize -= 1_000;
  }
  assert.equal(state.cuts, 0);
  stop();
});

test('a socket that somebody works on is left to them', () => {
  const { socket, state, pass } = watched();
  state.isOwned = true;
  wrote(socket, 1_000_000);
  pass(3 * STALL_MS);
  assert.equal(state.cuts, 0);
  state.isOwned = false;
  pass(2 * STALL_MS);
  assert.equal(state.cuts, 1);
});

test('a client that does not read its whole answer loses its connection', async () => {
  await using edge = await openEdge({
    settings: { ...SETTINGS, stream: { ...SETTINGS.stream, stall_ms: 100 } },
    script: ({ reader }) => reader.end(endFrame(`{"id":"${'x'.repeat(32_000_000)}"}`)),
  });
  using raw = openRaw(edge.url);
  raw.socket.pause();
  const body = JSON.stringify(CHAT);
  raw.socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: ${edge.key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await until(() => edge.metrics.render().includes('gateway_slow_clients_total{dialect="openai"} 1'));
  raw.socket.resume();
  assert.ok((await raw.closed()).length < 32_000_000);
});
