import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { giveLetter } from '../bus/letter-fixture.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { deadLetterStream, resultStream } from '../contracts/streams.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openLetterDesk } from './letter-desk.ts';

async function open(letters: number, around: (bus: Bus) => Bus = (bus) => bus) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  for (const stream of [deadLetterStream, resultStream]) await bus.ensureStream(stream);
  for (let number = 1; number <= letters; number++) await giveLetter(bus, `dlq:CAF_RESULT:${number}`);
  const desk = openLetterDesk(around(bus), timers);
  const { letters: found } = await desk.page('kestrel', { filter: {}, limit: letters });
  /** Lets time pass until it is settled. */
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    let isOver = false;
    const over = (): void => void (isOver = true);
    work.then(over, over);
    while (!isOver) {
      clock.advance(1);
      timers.tick();
      // eslint-disable-next-line no-await-in-loop -- each turn may start the next wait
      await new Promise(setImmediate);
    }
    return work;
  };
  return { clock, desk, lines: found.toReversed(), settled, [Symbol.dispose]: () => timers[Symbol.dispose]() };
}

test('replays of all callers together are fifty in a second', async () => {
  using it = await open(6);
  const startMs = it.clock.nowMs();
  const calls = [it.lines.slice(0, 3), it.lines.slice(3, 5), it.lines.slice(5)].map((lines) =>
    it.desk.replay(lines, false),
  );
  await it.settled(Promise.all(calls));
  assert.ok(it.clock.nowMs() - startMs >= 5 * 20, `${it.clock.nowMs() - startMs} ms`);
});

test('who would wait longer than five seconds for the replays of others is refused', async () => {
  using it = await open(1);
  const [line] = it.lines;
  assert.ok(line);
  const first = it.desk.replay(
    Array.from({ length: 251 }, () => line),
    false,
  );
  await assert.rejects(it.desk.replay([line], false), { code: 'service_overloaded' });
  const outcomes = await it.settled(first);
  assert.equal(outcomes.filter(({ kind }) => kind === 'replayed').length, 1);
  assert.equal((await it.settled(it.desk.replay([line], false)))[0]?.kind, 'refused', 'it goes on afterwards');
});

test('a bus that fails in the middle leaves the rest untried, and tells so', async () => {
  let left = 2;
  const failing = (bus: Bus): Bus =>
    new Proxy(bus, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        if (name !== 'append') return member.bind(target) as unknown;
        return (...given: readonly unknown[]): unknown =>
          left-- > 0 ? Reflect.apply(member, target, given) : Promise.reject(new BeamlineError('unavailable', 'away'));
      },
    });
  using it = await open(3, failing);
  const outcomes = await it.settled(it.desk.replay(it.lines, false));
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['replayed', 'untried', 'untried'],
  );
  await assert.rejects(it.settled(it.desk.replay(it.lines.slice(2), false)), { code: 'unavailable' });
});
