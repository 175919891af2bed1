import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseReader } from './response-reader.ts';

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const chunkedHead = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

const ANSWERS = [
  {
    name: 'an answer with a length',
    text: 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{"choices":[]}',
    expected: { status: 200, events: 0, isTerminated: false, isLast: false, body: '{"choices":[]}' },
  },
  {
    name: 'an empty refusal that closes the socket',
    text: 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    expected: { status: 503, events: 0, isTerminated: false, isLast: true, body: '' },
  },
  {
    name: 'a stream of one event per chunk',
    text: `${chunkedHead}${chunk('data: {"a":1}\n\n')}${chunk('data: {"b":2}\n\n')}${chunk('data: [DONE]\n\n')}0\r\n\r\n`,
    expected: { status: 200, events: 2, isTerminated: true, isLast: false, body: '' },
  },
  {
    name: 'a stream whose chunks cut events, without its terminal event',
    text: `${chunkedHead}${chunk(': hello\n\nda')}${chunk('ta: {"a":1}\n')}${chunk('\ndata: {"b":2}\n\n')}0\r\n\r\n`,
    expected: { status: 200, events: 2, isTerminated: false, isLast: false, body: '' },
  },
];

for (const { name, text, expected } of ANSWERS) {
  test(`reads ${name}, cut anywhere, and is ready for the next`, () => {
    const reader = new ResponseReader();
    const bytes = Buffer.from(text);
    for (let cut = 1; cut < bytes.length; cut++) {
      assert.equal(reader.push(bytes.subarray(0, cut)), false, `complete after ${cut} bytes`);
      assert.equal(reader.push(bytes.subarray(cut)), true, `incomplete when cut at ${cut}`);
      const { status, events, isTerminated, isLast, body } = reader;
      assert.deepEqual({ status, events, isTerminated, isLast, body }, expected);
    }
  });
}
