import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { deadLetter } from '../contracts/dead-letter.ts';
import { deadLetterStream, resultStream, routerResults } from '../contracts/streams.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Bus, Undeliverable } from './bus.ts';
import { DeadLetters } from './dead-letters.ts';
import { returnLetters } from './letter-return.ts';
import { openMemoryBus } from './memory.ts';

const FROM = { stream: resultStream, consumer: routerResults };
const given = (seq: number): Undeliverable => ({
  seq,
  subject: 'caf.exec.result.v1',
  storedAtMs: 1_000,
  headers: { tenant_id: 'acme' },
  body: new TextEncoder().encode('{"a":1}'),
  count: 11,
  reason: 'exhausted',
  fault: undefined,
});

/** A bus that refuses letters as a test says, and lines in memory. */
function open() {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const logged: string[] = [];
  const log = openLog('info', { write: (line) => void logged.push(line) });
  const telemetry = { log, metrics: new Metrics() };
  const real = openMemoryBus({ timers, telemetry });
  const refusals: ErrorCode[] = [];
  const bus: Bus = Object.create(real, {
    append: {
      value: (...args: Parameters<Bus['append']>) => {
        const code = refusals.shift();
        return code === undefined ? real.append(...args) : Promise.reject(new BeamlineError(code, 'refused'));
      },
    },
    ensureStream: { value: (spec: typeof resultStream) => real.ensureStream(spec) },
  });
  const lines: string[] = [];
  const spill = { append: async (line: string) => void lines.push(line) };
  const deps = {
    bus,
    clock,
    telemetry,
    producer: 'router@r-1',
    metric: { name: 'router_dead_letters_total', label: 'class' as const },
  };
  const waiting = {
    get bytes() {
      return lines.join('').length;
    },
    async drain(take: (line: string) => Promise<void>) {
      for (let line = lines[0]; line !== undefined; line = lines[0]) {
        // eslint-disable-next-line no-await-in-loop -- in this order
        await take(line);
        lines.shift();
      }
    },
  };
  const stored = async (): Promise<string[]> =>
    (await real.read(deadLetterStream, { fromSeq: 1, limit: 10 })).map(({ body }) => {
      const letter: unknown = JSON.parse(new TextDecoder().decode(body));
      assert.ok(deadLetter.message.check(letter));
      return letter.msg_id;
    });
  return { bus, clock, timers, log, logged, refusals, lines, spill, deps, waiting, stored };
}

test('a letter that the bus refuses waits on the disk, and is stored when the bus takes it', async () => {
  const { bus, clock, timers, log, refusals, lines, spill, deps, waiting, stored } = open();
  const letters = new DeadLetters({ ...deps, spill });
  await letters.open();
  refusals.push('unavailable', 'timeout');
  await letters.give(given(1), FROM);
  await letters.give(given(2), FROM);
  await letters.give(given(3), FROM);
  assert.deepEqual([lines.length, await stored()], [2, ['dlq:CAF_RESULT:3']]);
  refusals.push('unavailable');
  await using returning = returnLetters({ bus, timers, log, letters: waiting });
  void returning;
  await until('the first round was refused', () => refusals.length === 0);
  assert.equal(lines.length, 2);
  await until('they are stored', () => {
    clock.advance(30_000);
    timers.tick();
    return lines.length === 0;
  });
  assert.deepEqual(await stored(), ['dlq:CAF_RESULT:3', 'dlq:CAF_RESULT:1', 'dlq:CAF_RESULT:2']);
});

test('without a file, and for a fault that is no refusal, the message is delivered again', async () => {
  const { refusals, lines, spill, deps } = open();
  refusals.push('unavailable', 'internal');
  await assert.rejects(new DeadLetters(deps).give(given(1), FROM), { code: 'unavailable' });
  await assert.rejects(new DeadLetters({ ...deps, spill }).give(given(1), FROM), { code: 'internal' });
  assert.equal(lines.length, 0);
});

test('a line that is no letter holds nobody up, and is told', async () => {
  const { bus, timers, log, logged, lines, spill, deps, refusals, waiting, stored } = open();
  lines.push('{"cut', '{}');
  const letters = new DeadLetters({ ...deps, spill });
  await letters.open();
  refusals.push('unavailable');
  await letters.give(given(1), FROM);
  await using returning = returnLetters({ bus, timers, log, letters: waiting });
  void returning;
  await until('all were looked at', () => lines.length === 0);
  assert.deepEqual(await stored(), ['dlq:CAF_RESULT:1']);
  assert.equal(logged.filter((line) => line.includes('letter_unreadable')).length, 2);
});
