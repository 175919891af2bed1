import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, systemClock } from '../core/clock.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { Timers } from '../core/timers.ts';
import { openOpenAiCompatible } from './openai-compatible.ts';
import type { ChatCall, ChatEnd, Provider } from './provider.ts';
import { openSimulated } from './simulated.ts';
import { parseScript, type SimulatedProfile } from './simulated-script.ts';
import { startSimulatedServer } from './simulated-server.ts';

interface Heard {
  readonly raw: readonly string[];
  readonly end: ChatEnd | undefined;
  readonly failure: ExecutionFailure | undefined;
}

const body = { model: 'asked', messages: [{ role: 'user', content: 'hello there' }] };

function hear(provider: Provider, call: Partial<ChatCall> = {}): Promise<Heard> {
  const raw: string[] = [];
  return new Promise((resolve) => {
    provider.chat(
      { model: 'sim-small', body, stream: false, firstChunkMs: 2000, idleMs: 2000, ...call },
      {
        chunk: (text) => raw.push(text),
        end: (end) => resolve({ raw, end, failure: undefined }),
        fail: (failure) => resolve({ raw, end: undefined, failure }),
      },
    );
  });
}

/** The same script behind both doors: in this process and over a socket. */
const doors = {
  'in process': async (profile: unknown, use: (provider: Provider) => Promise<void>): Promise<void> => {
    using timers = new Timers(systemClock, { tickMs: 5 });
    await using provider = openSimulated({ id: 'sim', script: parseScript({ default: profile }), timers });
    await use(provider);
  },
  'over HTTP': async (profile: unknown, use: (provider: Provider) => Promise<void>): Promise<void> => {
    using timers = new Timers(systemClock, { tickMs: 5 });
    const script = parseScript({ default: profile });
    await using server = await startSimulatedServer({ host: '127.0.0.1', port: 0, script, timers });
    const limits = { connectMs: 1000, maxBodyBytes: 1_000_000, connections: 4 };
    await using provider = openOpenAiCompatible({ id: 'sim', baseUrl: server.url, timers, limits });
    await use(provider);
  },
};

const textOf = (raw: readonly string[], index = 0): string =>
  raw
    .map((text) => JSON.parse(text) as { choices: { index: number; delta: { content?: string } }[] })
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.index === index)
    .map(({ delta }) => delta.content ?? '')
    .join('');
const wholeText = (end: ChatEnd | undefined): string =>
  (JSON.parse(end?.raw ?? '{}') as { choices: { message: { content: string } }[] }).choices[0]?.message.content ?? '';

test('both doors give the same bytes, whole and streamed', async () => {
  const hearAll = async (through: (typeof doors)['in process']): Promise<readonly Heard[]> => {
    let heard: readonly Heard[] = [];
    await through({ seed: 7, output_tokens: 20 }, async (provider) => {
      heard = [await hear(provider), await hear(provider, { stream: true }), await hear(provider)];
    });
    return heard;
  };
  const inside = await hearAll(doors['in process']);
  const outside = await hearAll(doors['over HTTP']);
  assert.deepEqual(inside, outside);
  assert.equal(textOf(inside[1]?.raw ?? []), wholeText(inside[0]?.end));
  assert.deepEqual(inside[0], inside[2]);
  assert.equal(wholeText(inside[0]?.end).length, 80);
});

test('the text depends on seed, model and messages, and on nothing else', async () => {
  const said = async (profile: SimulatedProfile, call: Partial<ChatCall> = {}): Promise<string> => {
    let text = '';
    await doors['in process'](profile, async (provider) => {
      text = wholeText((await hear(provider, call)).end);
    });
    return text;
  };
  const first = await said({ seed: 1 });
  assert.equal(await said({ seed: 1, first_chunk_ms: 1 }, { body: { ...body, temperature: 1 } }), first);
  const reordered = { ...body, messages: [{ content: 'hello there', role: 'user' }] };
  assert.equal(await said({ seed: 1 }, { body: reordered }), first);
  assert.notEqual(await said({ seed: 2 }), first);
  assert.notEqual(await said({ seed: 1 }, { model: 'other' }), first);
  assert.notEqual(await said({ seed: 1 }, { body: { ...body, messages: [{ role: 'user', content: 'bye' }] } }), first);
});

test('the text of one seed never changes', async () => {
  await doors['in process']({ seed: 1, output_tokens: 8 }, async (provider) => {
    assert.equal(wholeText((await hear(provider)).end), 'line two bridges between quiet n');
  });
});

for (const [door, through] of Object.entries(doors)) {
  const cases: readonly (readonly [string, unknown, Partial<ChatCall>, string])[] = [
    ['always 503', { errors: [{ when: 'always', status: 503 }] }, {}, 'PROVIDER_UNAVAILABLE overloaded'],
    [
      'a body of its own',
      { errors: [{ when: 'always', status: 400, body: { error: { code: 'content_filter' } } }] },
      {},
      'CONTENT_BLOCKED',
    ],
    [
      'a truncated stream',
      { stream_faults: [{ at_chunk: 2, kind: 'truncate' }] },
      { stream: true },
      'PROVIDER_PROTOCOL_ERROR truncated',
    ],
    ['a reset stream', { stream_faults: [{ at_chunk: 2, kind: 'reset' }] }, { stream: true }, 'NETWORK_ERROR reset'],
    [
      'garbage',
      { stream_faults: [{ at_chunk: 2, kind: 'garbage' }] },
      { stream: true },
      'PROVIDER_PROTOCOL_ERROR garbage',
    ],
    [
      'an error event',
      { stream_faults: [{ at_chunk: 2, kind: 'error_event' }] },
      { stream: true },
      'PROVIDER_UNAVAILABLE http_5xx',
    ],
    [
      'a stall',
      { stream_faults: [{ at_chunk: 2, kind: 'stall_ms', ms: 9000 }] },
      { stream: true, idleMs: 40 },
      'CONNECTION_TIMEOUT idle',
    ],
    ['a late start', { first_chunk_ms: 9000 }, { stream: true, firstChunkMs: 40 }, 'CONNECTION_TIMEOUT first_chunk'],
    ['a late answer', { first_chunk_ms: 9000 }, { firstChunkMs: 40 }, 'CONNECTION_TIMEOUT first_chunk'],
  ];
  for (const [name, profile, call, expected] of cases) {
    test(`${name} ${door} fails as ${expected}`, () =>
      through(profile, async (provider) => {
        const { failure } = await hear(provider, call);
        assert.equal([failure?.code, failure?.detailCode].filter(Boolean).join(' '), expected);
      }));
  }

  test(`faults ${door} hit the nth request, and say when to come back`, () =>
    through({ errors: [{ when: { nth: 2 }, status: 429, retry_after: 3 }] }, async (provider) => {
      const failures = [await hear(provider), await hear(provider), await hear(provider)].map(({ failure }) => failure);
      assert.deepEqual(
        failures.map((failure) => failure?.retryAfterMs),
        [undefined, 3000, undefined],
      );
    }));

  test(`a doubled end ${door} is one end`, () =>
    through({ stream_faults: [{ at_chunk: 0, kind: 'duplicate_done' }] }, async (provider) => {
      const { end, failure } = await hear(provider, { stream: true });
      assert.deepEqual([end?.finishReason, failure], ['stop', undefined]);
    }));
}

test('a ratio hits the same share of requests every time', async () => {
  const pattern = async (): Promise<string> => {
    let hits = '';
    await doors['in process']({ errors: [{ when: { ratio: 0.3 }, status: 500 }] }, async (provider) => {
      const heard = await Promise.all(Array.from({ length: 200 }, () => hear(provider)));
      hits = heard.map(({ failure }) => (failure === undefined ? '.' : 'x')).join('');
    });
    return hits;
  };
  const first = await pattern();
  assert.equal(await pattern(), first);
  const share = first.replaceAll('.', '').length / first.length;
  assert.ok(share > 0.2 && share < 0.4, String(share));
});

for (const [name, profile, call, expected] of [
  ['exact', {}, {}, { inputTokens: 3, outputTokens: 32, cachedInputTokens: 0, reasoningTokens: 0 }],
  [
    'with shares',
    { cached_share: 0.5, reasoning_share: 0.25 },
    {},
    { inputTokens: 3, outputTokens: 32, cachedInputTokens: 1, reasoningTokens: 8 },
  ],
  [
    'of two choices',
    {},
    { body: { ...body, n: 2 } },
    { inputTokens: 3, outputTokens: 64, cachedInputTokens: 0, reasoningTokens: 0 },
  ],
  ['absent', { usage: 'absent' }, {}, undefined],
  ['late', { usage: 'late' }, {}, undefined],
  ['inconsistent', { usage: 'inconsistent' }, {}, undefined],
] as const) {
  test(`usage ${name} is the same whole and streamed`, () =>
    doors['in process'](profile, async (provider) => {
      assert.deepEqual((await hear(provider, call)).end?.usage, expected);
      assert.deepEqual((await hear(provider, { ...call, stream: true })).end?.usage, expected);
    }));
}

const tools = [{ type: 'function', function: { name: 'look_up', parameters: {} } }];
for (const [name, profile, more, called] of [
  ['by the script', { tool_call: {} }, {}, 'look_up'],
  ['by its own name', { tool_call: { name: 'other' } }, {}, 'other'],
  ['because the caller requires it', {}, { tool_choice: 'required' }, 'look_up'],
  ['because the caller names it', {}, { tool_choice: { type: 'function', function: { name: 'named' } } }, 'named'],
  ['not, as the caller forbids it', { tool_call: {} }, { tool_choice: 'none' }, undefined],
  ['not, as nobody asked for it', {}, {}, undefined],
] as const) {
  test(`a tool is called ${name}`, () =>
    doors['in process'](profile, async (provider) => {
      const order = { body: { ...body, tools, ...more } };
      const whole = await hear(provider, order);
      const streamed = await hear(provider, { ...order, stream: true });
      const finish = called === undefined ? 'stop' : 'tool_calls';
      assert.deepEqual([whole.end?.finishReason, streamed.end?.finishReason], [finish, finish]);
      const pattern = called === undefined ? /tool_calls/ : new RegExp(`"name":"${called}"`);
      for (const text of [whole.end?.raw ?? '', streamed.raw[0] ?? '']) {
        if (called === undefined) assert.doesNotMatch(text, pattern);
        else assert.match(text, pattern);
      }
    }));
}

test('streamed arguments come in fragments that make one JSON text', () =>
  doors['in process']({ tool_call: { arguments: { city: 'Oslo', days: 3 } } }, async (provider) => {
    const { raw } = await hear(provider, { stream: true, body: { ...body, tools } });
    const fragments = raw.flatMap((text) =>
      [...text.matchAll(/"arguments":("(?:[^"\\]|\\.)*")/g)].map(([, json]) => JSON.parse(json ?? '') as string),
    );
    assert.ok(fragments.length > 2);
    assert.deepEqual(JSON.parse(fragments.join('')), { city: 'Oslo', days: 3 });
  }));

test('an echo says what the last message said, within the limit', () =>
  doors['in process']({ echo: true }, async (provider) => {
    assert.equal(wholeText((await hear(provider)).end), 'hello there');
    assert.equal(textOf((await hear(provider, { stream: true })).raw), 'hello there');
    const short = await hear(provider, { body: { ...body, max_tokens: 1 } });
    assert.deepEqual([wholeText(short.end), short.end?.finishReason], ['hell', 'length']);
  }));

test('usage that is late comes after the end of the stream', async () => {
  using timers = new Timers(systemClock);
  const script = parseScript({ default: { usage: 'late' } });
  await using server = await startSimulatedServer({ host: '127.0.0.1', port: 0, script, timers });
  const sent = JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } });
  const response = await fetch(`${server.url}/chat/completions`, { method: 'POST', body: sent });
  assert.match(await response.text(), /data: \[DONE\]\n\ndata: \{[^\n]*"choices":\[\],"usage":\{"prompt_tokens":3,/);
});

test('errors of a window hit its requests, first and last included', () =>
  doors['in process']({ errors: [{ when: { window: { from: 2, to: 3 } }, status: 500 }] }, async (provider) => {
    const heard = [await hear(provider), await hear(provider), await hear(provider), await hear(provider)];
    assert.deepEqual(
      heard.map(({ failure }) => failure?.httpStatus),
      [undefined, 500, 500, undefined],
    );
  }));

test('a limit, a stop word and the number of choices and chunks are kept', () =>
  doors['in process']({ output_tokens: 40, chunks: 5 }, async (provider) => {
    const short = await hear(provider, { body: { ...body, max_tokens: 3 } });
    assert.deepEqual([short.end?.finishReason, wholeText(short.end).length], ['length', 12]);
    const stopped = await hear(provider, { body: { ...body, stop: [' '] } });
    assert.doesNotMatch(wholeText(stopped.end), / /);
    const two = await hear(provider, { stream: true, body: { ...body, n: 2 } });
    assert.equal(two.raw.length, 2 + 2 * 5 + 2 + 1);
    assert.notEqual(textOf(two.raw, 0), textOf(two.raw, 1));
  }));

test('an answer has the bytes that the script asks for', () =>
  doors['over HTTP']({ answer_bytes: 100_000 }, async (provider) => {
    assert.equal(wholeText((await hear(provider)).end).length, 100_000);
  }));

test('tokens are paced by the clock', async () => {
  const clock = new ManualClock();
  using timers = new Timers(clock, { tickMs: 10 });
  const script = parseScript({ default: { first_chunk_ms: 100, tokens_per_s: 10, output_tokens: 4 } });
  await using provider = openSimulated({ id: 'sim', script, timers });
  const seen: number[] = [];
  let ended = false;
  provider.chat(
    { model: 'm', body, stream: true, firstChunkMs: 9000, idleMs: 9000 },
    {
      chunk: (_raw, { hasContent }) => void (hasContent && seen.push(clock.nowMs())),
      end: () => (ended = true),
      fail: () => assert.fail('fail'),
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  for (let ms = 0; ms < 600; ms += 10) {
    clock.advance(10);
    timers.tick();
  }
  assert.deepEqual([seen, ended], [[100, 200, 300, 400], true]);
});

test('usage leaves the server only where the caller asked for it', async () => {
  using timers = new Timers(systemClock);
  const arrivals: unknown[] = [];
  await using server = await startSimulatedServer({
    host: '127.0.0.1',
    port: 0,
    script: parseScript({ 'sim-small': {}, default: {} }),
    timers,
    log: (arrival) => arrivals.push(arrival.body),
  });
  const post = async (sent: object): Promise<string> =>
    (await fetch(`${server.url}/chat/completions`, { method: 'POST', body: JSON.stringify(sent) })).text();
  const plain = await post({ ...body, stream: true });
  const asked = await post({ ...body, stream: true, stream_options: { include_usage: true } });
  assert.doesNotMatch(plain, /usage/);
  assert.match(asked, /"choices":\[\],"usage":\{"prompt_tokens":3,/);
  assert.match(plain, /data: \[DONE\]\n\n$/);
  assert.equal(arrivals.length, 2);
  const models = (await (await fetch(`${server.url}/models`)).json()) as { data: { id: string }[] };
  assert.deepEqual(
    models.data.map(({ id }) => id),
    ['sim-small', 'default'],
  );
  assert.equal((await fetch(`${server.url}/nothing`)).status, 404);
  assert.equal((await fetch(`${server.url}/chat/completions`, { method: 'POST', body: '{' })).status, 400);
});

for (const script of [
  7,
  { m: { tokens_per_s: -1 } },
  { m: { unknown: 1 } },
  { m: { errors: [{ when: 'never', status: 500 }] } },
  { m: { stream_faults: [{ at_chunk: 0, kind: 'explode' }] } },
  { m: { first_chunk_ms: { dist: 'normal', mean: 1 } } },
  { m: { first_chunk_ms: { dist: 'uniform', min: 1 } } },
  { m: { errors: [{ when: { window: { from: 0, to: 2 } }, status: 500 }] } },
]) {
  test(`${JSON.stringify(script)} is no script`, () => {
    assert.throws(() => parseScript(script), { code: 'validation_failed' });
  });
}
