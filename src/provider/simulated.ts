// The simulated provider in this process: no socket, the same answers and the same reading of them as over HTTP.
import type { Timers } from '../core/timers.ts';
import { upstreamBody } from '../dialect/openai-chat.ts';
import { readEmbeddings } from '../dialect/openai-embeddings.ts';
import { sseData } from '../dialect/sse-writer.ts';
import { classifyFault } from './classify.ts';
import type { UpstreamReader } from './http-upstream.ts';
import { OpenAiCall, type ReadWhole } from './openai-call.ts';
import type { ChatCall, ChatSink, Provider, RunningCall } from './provider.ts';
import { type SimulatedAnswer, Simulation, type SimulatedStep } from './simulated-answer.ts';
import { SimulatedPlayback } from './simulated-playback.ts';
import type { SimulatedScript } from './simulated-script.ts';

export interface Simulated {
  readonly id: string;
  readonly script: SimulatedScript;
  readonly timers: Timers;
}

export function openSimulated({ id, script, timers }: Simulated): Provider {
  const simulation = new Simulation(script);
  const running = new Set<SimulatedUpstream>();
  const asked =
    (answerTo: (body: unknown) => SimulatedAnswer, read?: ReadWhole) => (call: ChatCall, sink: ChatSink) => {
      const reader = new OpenAiCall(timers, call, sink, undefined, read);
      const answer = answerTo(upstreamBody(call.body, call));
      const upstream = new SimulatedUpstream(timers, answer, reader, () => running.delete(upstream));
      running.add(upstream);
      reader.follow(upstream);
      // Like an answer from a socket it comes in a later turn of the loop, after the decision was heard.
      setImmediate(() => upstream.start());
      return reader;
    };
  return {
    id,
    dialect: 'openai.chat',
    chat: asked((body) => simulation.answer(body)),
    embeddings: { id, dialect: 'openai.embeddings', chat: asked((body) => simulation.embed(body), readEmbeddings) },
    async [Symbol.asyncDispose]() {
      for (const upstream of running) upstream.close();
    },
  };
}

/** Plays one answer to a reader as an upstream would. */
class SimulatedUpstream implements RunningCall {
  readonly #answer: SimulatedAnswer;
  readonly #reader: UpstreamReader;
  readonly #playback: SimulatedPlayback;
  readonly #onClose: () => void;

  constructor(timers: Timers, answer: SimulatedAnswer, reader: UpstreamReader, onClose: () => void) {
    this.#answer = answer;
    this.#reader = reader;
    this.#onClose = onClose;
    const steps: readonly SimulatedStep[] =
      answer.kind === 'stream' ? answer.steps : [{ kind: 'end', atMs: answer.atMs }];
    this.#playback = new SimulatedPlayback(timers, steps, (step) => this.#play(step));
  }

  start(): void {
    if (this.#answer.kind === 'stream') this.#reader.head(200, { 'content-type': 'text/event-stream' });
    this.#playback.run();
  }

  abort(): void {
    this.#playback.stop();
    this.#onClose();
  }

  /** The provider closes under the call. */
  close(): void {
    this.abort();
    this.#reader.fail(classifyFault('UND_ERR_DESTROYED', false));
  }

  #play(step: SimulatedStep): void {
    if (step.kind === 'event') {
      this.#reader.data(Buffer.from(sseData(step.data)));
      return;
    }
    this.#onClose();
    if (step.kind === 'reset') this.#reader.fail(classifyFault('ECONNRESET', true));
    else if (this.#answer.kind === 'stream') this.#reader.end();
    else this.#tell(this.#answer);
  }

  #tell(answer: Exclude<SimulatedAnswer, { kind: 'stream' }>): void {
    const type = { 'content-type': 'application/json' };
    if (answer.kind === 'whole') this.#reader.head(200, type);
    else this.#reader.head(answer.status, { ...type, 'retry-after': answer.retryAfter });
    this.#reader.data(Buffer.from(answer.body));
    this.#reader.end();
  }
}
