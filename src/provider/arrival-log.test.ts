import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { type ArrivalLine, openArrivalLog } from './arrival-log.ts';
import { openOpenAiCompatible } from './openai-compatible.ts';
import { startSimulatedServer } from './simulated-server.ts';

const SCRIPT = {
  plain: { output_tokens: 5 },
  silent: { output_tokens: 5, usage: 'absent' as const },
  broken: { errors: [{ when: 'always' as const, status: 503 }] },
};

test('the log tells what arrived under which name and what was reported, one line for each before its answer', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-arrivals-'));
  try {
    using timers = new Timers(systemClock, { tickMs: 5 });
    const path = join(folder, 'truth.ndjson');
    using log = openArrivalLog(path);
    const options = { host: '127.0.0.1', port: 0, script: SCRIPT, timers, log: log.write.bind(log) };
    await using server = await startSimulatedServer(options);
    const limits = { connectMs: 2_000, maxBodyBytes: 65_536, connections: 2 };
    await using provider = openOpenAiCompatible({ id: 'sim', baseUrl: server.url, timers, limits });
    const read = (): ArrivalLine[] =>
      readFileSync(path, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as ArrivalLine);
    const call = (model: string, stream: boolean, callId?: string): Promise<ArrivalLine | undefined> =>
      new Promise((resolve) => {
        const over = (): void => resolve(read().at(-1));
        provider.chat(
          {
            model,
            body: { messages: [{ role: 'user', content: 'eight ch' }] },
            stream,
            firstChunkMs: 5_000,
            idleMs: 5_000,
            ...(callId === undefined ? {} : { callId }),
          },
          { chunk: () => undefined, end: over, fail: over },
        );
      });
    const told = async (...asked: Parameters<typeof call>): Promise<unknown> => {
      const line = await call(...asked);
      return [line?.call_id, line?.model, line?.status, line?.input_tokens, line?.output_tokens];
    };
    assert.deepEqual(await told('plain', false, 'a-1:1'), ['a-1:1', 'plain', 200, 2, 5]);
    assert.deepEqual(await told('plain', true, 'a-2:3'), ['a-2:3', 'plain', 200, 2, 5]);
    assert.deepEqual(await told('silent', false, 'with space'), [null, 'silent', 200, null, null]);
    assert.deepEqual(await told('broken', false), [null, 'broken', 503, null, null]);
    assert.equal(read().length, 4);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
