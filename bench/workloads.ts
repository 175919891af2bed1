// What is asked of every candidate: one chat answer of half a kilobyte, and streams of 20 and of 100 chunks.
// The prompt brings the request body to one kilobyte; everybody gets the same bytes but for their own headers.

export interface Workload {
  readonly name: string;
  /** The model, which tells the upstream what to answer. */
  readonly model: 'bench-chat' | 'bench-stream-20' | 'bench-stream-100';
  readonly isStream: boolean;
  readonly connections: number;
}

const chat = (connections: number): Workload => ({
  name: `chat, c=${connections}`,
  model: 'bench-chat',
  isStream: false,
  connections,
});

const stream = (chunks: 20 | 100, connections: number): Workload => ({
  name: `stream of ${chunks} chunks, c=${connections}`,
  model: `bench-stream-${chunks}`,
  isStream: true,
  connections,
});

export const WORKLOADS: readonly Workload[] = [
  chat(1),
  chat(32),
  chat(128),
  stream(20, 1),
  stream(20, 16),
  stream(100, 1),
  stream(100, 16),
];

const BODY_BYTES = 1024;
const PATH = '/v1/chat/completions';

/** The whole HTTP request. */
export function requestOf(workload: Workload, port: number, headers: Readonly<Record<string, string>>): Buffer {
  const body = bodyOf(workload);
  const lines = Object.entries({
    host: `127.0.0.1:${port}`,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${PATH} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}

function bodyOf(workload: Workload): string {
  const write = (prompt: string): string =>
    JSON.stringify({
      model: workload.model,
      messages: [
        { role: 'system', content: 'You answer in short, plain sentences.' },
        { role: 'user', content: prompt },
      ],
      temperature: 0.2,
      stream: workload.isStream,
    });
  const sentence = 'Say what the weather does to the harvest. ';
  const room = BODY_BYTES - Buffer.byteLength(write(''));
  return write(sentence.repeat(Math.ceil(room / sentence.length)).slice(0, room));
}
