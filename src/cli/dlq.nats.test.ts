// `beamline dlq` against a real server: what operators see, and the exit codes that scripts rely on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import type { Bus } from '../bus/bus.ts';
import { FINAL, giveLetter, LETTER_BODY } from '../bus/letter-fixture.ts';
import { openNatsBus } from '../bus/nats.ts';
import type { DlqEnvelope } from '../contracts/dead-letter.ts';
import { deadLetterStream, resultStream } from '../contracts/streams.ts';
import { ManualClock, systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { listLetters } from '../bus/letter-box.ts';
import { replayAll } from '../bus/letter-replay.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const NOWHERE = 'nats://127.0.0.1:1';

let server: NatsServer;
let bus: Bus;
const timers = new Timers(systemClock);
before(async () => {
  server = await startNatsServer();
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  bus = await openNatsBus({ url: server.url, name: 'test', timers, telemetry });
});
after(async () => {
  await bus[Symbol.asyncDispose]();
  timers[Symbol.dispose]();
  await server.stop();
});
beforeEach(async () => {
  await using nc = await connect({ servers: server.url });
  const { streams } = await jetstreamManager(nc);
  for await (const { config } of streams.list()) await streams.delete(config.name);
});

async function beamline(...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, 'dlq', ...args], { env: { BEAMLINE_NATS_URL: server.url } });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (text: Buffer) => (texts[name] += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, ...texts };
}

const BODY = LETTER_BODY;
const give = (msgId: string, more: Partial<DlqEnvelope> = {}): Promise<void> => giveLetter(bus, msgId, more);

async function openStreams(): Promise<void> {
  for (const stream of [deadLetterStream, resultStream]) await bus.ensureStream(stream);
}

test('letters are listed, narrowed and shown', async () => {
  await openStreams();
  await give('dlq:CAF_RESULT:1');
  await give('dlq:CAF_RESULT:2', { tenant_id: 'osprey', error: FINAL });
  const listed = await beamline('list', '--json');
  assert.equal(listed.status, 0, listed.stderr);
  const { letters, more } = JSON.parse(listed.stdout) as { letters: { msg_id: string; seq: number }[]; more: boolean };
  assert.deepEqual(
    [letters.map(({ msg_id: id, seq }) => [id, seq]), more],
    [
      [
        ['dlq:CAF_RESULT:1', 1],
        ['dlq:CAF_RESULT:2', 2],
      ],
      false,
    ],
  );
  assert.ok(!listed.stdout.includes(Buffer.from(BODY).toString('base64')), 'a list has no bodies');

  const narrowed = await beamline('list', '--tenant', 'osprey', '--class', 'validation');
  assert.ok(narrowed.stdout.includes('dlq:CAF_RESULT:2') && !narrowed.stdout.includes('dlq:CAF_RESULT:1'));
  const cut = await beamline('list', '--limit', '1');
  assert.match(cut.stderr, /more than 1/);

  const shown = await beamline('show', 'dlq:CAF_RESULT:2');
  assert.partialDeepStrictEqual(JSON.parse(shown.stdout), {
    seq: 2,
    error: FINAL,
    original_subject: 'caf.exec.result.v1',
  });
  assert.equal((await beamline('show', '1', '--body')).stdout, `${BODY}\n`);
  const none = await beamline('show', 'dlq:CAF_RESULT:3');
  assert.deepEqual([none.status, none.stdout], [1, '']);
});

test('a replay reaches its stream; what is refused gives 1 and does not hold up the others', async () => {
  await openStreams();
  await give('dlq:CAF_RESULT:1');
  await give('dlq:CAF_RESULT:2', { error: FINAL });
  const tried = await beamline('replay', '--all', '--dry-run');
  assert.deepEqual([tried.status, (await bus.read(resultStream, { fromSeq: 1, limit: 9 })).length], [0, 0]);

  const replayed = await beamline('replay', '--all');
  assert.equal(replayed.status, 1);
  assert.match(replayed.stderr, /dlq:CAF_RESULT:2 refused: PARSE_ERROR is not retryable/);
  assert.match(replayed.stdout, /dlq:CAF_RESULT:1 sent to caf\.exec\.result\.v1, replay 1/);
  const [stored] = await bus.read(resultStream, { fromSeq: 1, limit: 9 });
  assert.equal(new TextDecoder().decode(stored?.body), BODY);
  assert.equal(stored?.headers['Nats-Msg-Id'], 'replay:dlq:CAF_RESULT:1:1');

  const forced = await beamline('replay', 'dlq:CAF_RESULT:2', '--force', '--json');
  assert.equal(forced.status, 0, forced.stderr);
  assert.partialDeepStrictEqual(JSON.parse(forced.stdout), { msg_id: 'dlq:CAF_RESULT:2', kind: 'replayed', count: 1 });
  assert.equal((await bus.read(resultStream, { fromSeq: 1, limit: 9 })).length, 2);
  assert.equal((await beamline('replay', 'dlq:CAF_RESULT:9')).status, 1, 'an unknown id is refused');
});

test('a purge removes what is named, also what is no letter, and nothing else', async () => {
  await openStreams();
  await give('dlq:CAF_RESULT:1');
  await give('dlq:CAF_RESULT:2');
  await using nc = await connect({ servers: server.url });
  nc.publish(deadLetterStream.subject, '{"x":1}');
  await nc.flush();
  assert.match((await beamline('list')).stdout, /unreadable/);
  const purged = await beamline('purge', 'dlq:CAF_RESULT:1', '3', 'dlq:CAF_RESULT:7');
  assert.equal(purged.status, 1, 'one of them is not there');
  assert.match(purged.stderr, /dlq:CAF_RESULT:7: there is no such letter/);
  const left = await bus.read(deadLetterStream, { fromSeq: 1, limit: 9 });
  assert.deepEqual(
    left.map(({ seq }) => seq),
    [2],
  );
  assert.equal((await beamline('purge', '--all')).status, 0);
  assert.deepEqual(await bus.read(deadLetterStream, { fromSeq: 1, limit: 9 }), []);
});

test('a server on which nothing was ever given up has an empty list', async () => {
  const { status, stdout } = await beamline('list', '--json');
  assert.deepEqual([status, JSON.parse(stdout)], [0, { letters: [], unreadable: [], more: false }]);
});

const CODES: readonly (readonly [what: string, args: readonly string[], status: number])[] = [
  ['no connection', ['list', '--nats', NOWHERE], 2],
  ['no connection for a replay', ['replay', '--all', '--nats', NOWHERE], 2],
  ['neither ids nor --all', ['purge'], 64],
  ['both ids and --all', ['purge', 'dlq:1', '--all'], 64],
  ['a class that there is not', ['list', '--class', 'sad'], 64],
  ['a limit that is no number', ['list', '--limit', 'all'], 64],
];

for (const [what, args, wanted] of CODES) {
  test(`${what}: exit ${wanted}, told on stderr`, async () => {
    const { status, stdout, stderr } = await beamline(...args);
    assert.deepEqual([status, stdout], [wanted, ''], stderr);
    assert.notEqual(stderr, '');
  });
}

test('many replays have twenty milliseconds between two', async () => {
  await openStreams();
  for (const number of [1, 2, 3]) await give(`dlq:CAF_RESULT:${number}`);
  const { letters } = await listLetters(bus, { fits: () => true, limit: 9 });
  const order: string[] = [];
  const pause = (ms: number): Promise<void> => {
    order.push(`pause ${ms}`);
    return Promise.resolve();
  };
  for await (const [{ msg_id }, { kind }] of replayAll(bus, letters, {
    clock: new ManualClock(5),
    pause,
    isForced: false,
  })) {
    order.push(`${kind} ${msg_id.at(-1)}`);
  }
  assert.deepEqual(order, ['replayed 1', 'pause 20', 'replayed 2', 'pause 20', 'replayed 3']);
});
