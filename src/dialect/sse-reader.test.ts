import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SseReader } from './sse-reader.ts';

type Event = readonly [data: string, event: string | undefined];

function read(chunks: readonly Buffer[], eventBytesMax = 1024): readonly Event[] {
  const events: Event[] = [];
  const reader = new SseReader((data, event) => events.push([data, event]), eventBytesMax);
  for (const chunk of chunks) reader.push(chunk);
  return events;
}

const bodies: readonly (readonly [name: string, body: string, events: readonly Event[]])[] = [
  ['one event', 'data: {"a":1}\n\n', [['{"a":1}', undefined]]],
  [
    'two events',
    'data: a\n\ndata: b\n\n',
    [
      ['a', undefined],
      ['b', undefined],
    ],
  ],
  [
    'CRLF',
    'data: a\r\n\r\ndata: b\r\n\r\n',
    [
      ['a', undefined],
      ['b', undefined],
    ],
  ],
  [
    'CR',
    'data: a\r\rdata: b\r\r',
    [
      ['a', undefined],
      ['b', undefined],
    ],
  ],
  ['a byte order mark', '\uFEFFdata: a\n\n', [['a', undefined]]],
  ['comments', ': hello\n\ndata: a\n: inside\n\n', [['a', undefined]]],
  ['several data lines', 'data: a\ndata:b\ndata:  c\n\n', [['a\nb\n c', undefined]]],
  [
    'names',
    'event: ping\ndata: {}\n\ndata: a\n\n',
    [
      ['{}', 'ping'],
      ['a', undefined],
    ],
  ],
  ['a name after the data', 'data: a\nevent: late\n\n', [['a', 'late']]],
  ['fields that mean nothing', 'id: 7\nretry: 10\nfoo\ndata: a\n\n', [['a', undefined]]],
  ['no space after the colon', 'data:a\n\n', [['a', undefined]]],
  ['empty data', 'data\n\ndata:\n\ndata: \n\ndata: a\n\n', [['a', undefined]]],
  [
    'characters of two to four bytes',
    'data: é€😀\n\ndata: ß\n\n',
    [
      ['é€😀', undefined],
      ['ß', undefined],
    ],
  ],
  ['an event that EOF cut off', 'data: a\n\ndata: b\n', [['a', undefined]]],
];

for (const [name, body, events] of bodies) {
  test(`reads ${name} at every split`, () => {
    const bytes = Buffer.from(body);
    assert.deepEqual(read([bytes]), events);
    assert.deepEqual(read(Array.from(bytes, (byte) => Buffer.from([byte]))), events);
    for (let at = 1; at < bytes.length; at++) {
      assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), events, `split at ${at}`);
    }
  });
}

test('reads the same events however the bytes are cut', () => {
  const line = fc.constantFrom('data: x', 'data: é', 'data:', ':c', 'event: e', 'nonsense', '');
  const ends = fc.constantFrom('\n', '\r', '\r\n');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(line, ends), { maxLength: 20 }),
      fc.array(fc.nat(40), { maxLength: 8 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map(([text, end]) => text + end).join(''));
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
        const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        assert.deepEqual(read(pieces), read([bytes]));
      },
    ),
  );
});

for (const [name, body] of [
  ['a line without an end', `data: ${'x'.repeat(2000)}`],
  ['a whole line', `data: ${'x'.repeat(2000)}\n\n`],
  ['many lines of one event', 'data: 0123456789\n'.repeat(200)],
] as const) {
  test(`refuses ${name} over the cap`, () => {
    assert.throws(() => read([Buffer.from(body)]), { code: 'provider_protocol_error' });
    assert.throws(() => read(Array.from(Buffer.from(body), (byte) => Buffer.from([byte]))), {
      code: 'provider_protocol_error',
    });
  });
}
