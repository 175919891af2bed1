// The simulated provider as an HTTP server that speaks OpenAI's formats of chat and embeddings, so that whole paths run over real sockets.
// One event is one socket write. It is lean on purpose: benchmarks use it as their upstream.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Timers } from '../core/timers.ts';
import { sseData } from '../dialect/sse-writer.ts';
import { type SimulatedAnswer, Simulation, type SimulatedStep } from './simulated-answer.ts';
import { SimulatedPlayback } from './simulated-playback.ts';
import type { SimulatedScript } from './simulated-script.ts';

export interface SimulatedServerOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly script: SimulatedScript;
  readonly timers: Timers;
  /** Hears every request for an answer that was read: the ground truth of what arrived. */
  readonly log?: (arrival: SimulatedArrival) => void;
}

export interface SimulatedArrival {
  readonly atMs: number;
  /** What the caller named its call by (`x-client-request-id`). */
  readonly callId: string | undefined;
  readonly body: unknown;
  readonly answer: SimulatedAnswer;
}

export interface SimulatedServer extends AsyncDisposable {
  /** The base address, with `/v1`. */
  readonly url: string;
}

const REQUEST_BYTES_MAX = 33_554_432;
const JSON_TYPE = 'application/json';

export async function startSimulatedServer(options: SimulatedServerOptions): Promise<SimulatedServer> {
  const desk = new Desk(options);
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => desk.serve(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}/v1`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

class Desk {
  readonly #options: SimulatedServerOptions;
  readonly #simulation: Simulation;
  readonly #answers: readonly (readonly [path: string, answer: (body: unknown) => SimulatedAnswer])[];

  constructor(options: SimulatedServerOptions) {
    this.#options = options;
    const simulation = new Simulation(options.script);
    this.#simulation = simulation;
    this.#answers = [
      ['/chat/completions', (body) => simulation.answer(body)],
      ['/embeddings', (body) => simulation.embed(body)],
    ];
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    const asked = request.method === 'POST' ? this.#answers.find(([end]) => path.endsWith(end)) : undefined;
    if (asked !== undefined) this.#read(request, response, asked[1]);
    else if (request.method === 'GET' && path.endsWith('/models')) reply(response, 200, this.#models());
    else
      reply(response, 404, '{"error":{"message":"no such route","type":"not_found_error","param":null,"code":null}}');
  }

  #models(): string {
    const data = this.#simulation.models.map((id) => ({ id, object: 'model', created: 0, owned_by: 'simulated' }));
    return JSON.stringify({ object: 'list', data });
  }

  #read(request: IncomingMessage, response: ServerResponse, answerTo: (body: unknown) => SimulatedAnswer): void {
    const parts: Buffer[] = [];
    let bytes = 0;
    request.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > REQUEST_BYTES_MAX) request.destroy();
      else parts.push(part);
    });
    const callId = request.headers['x-client-request-id'];
    request.on('end', () => {
      const body = parse(parts.length === 1 ? parts[0] : Buffer.concat(parts));
      this.#answer(body, answerTo(body), response, String(callId ?? '') || undefined);
    });
  }

  #answer(body: unknown, answer: SimulatedAnswer, response: ServerResponse, callId: string | undefined): void {
    this.#options.log?.({ atMs: this.#options.timers.clock.epochMs(), callId, body, answer });
    if (answer.kind === 'stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
      this.#play(answer.steps, response, (step) => streamStep(response, step));
    } else if (answer.atMs === 0) {
      tell(response, answer);
    } else {
      this.#play([{ kind: 'end', atMs: answer.atMs }], response, () => tell(response, answer));
    }
  }

  #play(steps: readonly SimulatedStep[], response: ServerResponse, onStep: (step: SimulatedStep) => void): void {
    const playback = new SimulatedPlayback(this.#options.timers, steps, onStep);
    response.once('close', () => playback.stop());
    playback.run();
  }
}

function parse(bytes: Buffer | undefined): unknown {
  try {
    return JSON.parse(bytes?.toString('utf8') ?? '');
  } catch {
    return undefined;
  }
}

function tell(response: ServerResponse, answer: Exclude<SimulatedAnswer, { kind: 'stream' }>): void {
  if (answer.kind === 'whole') reply(response, 200, answer.body);
  else reply(response, answer.status, answer.body, answer.retryAfter);
}

function reply(response: ServerResponse, status: number, body: string, retryAfter?: string): void {
  const headers = { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, retryAfter === undefined ? headers : { ...headers, 'retry-after': retryAfter });
  response.end(body);
}

/** Node holds writes of one turn together; taking the cork out makes each event its own write. */
function streamStep(response: ServerResponse, step: SimulatedStep): void {
  switch (step.kind) {
    case 'event':
      response.write(sseData(step.data));
      response.socket?.uncork();
      return;
    case 'end':
      response.end();
      return;
    case 'reset':
      response.socket?.resetAndDestroy();
  }
}
