// What a simulated model answers: a pure function of seed, model and canonical messages, the same bytes everywhere.
// A token is four characters, at least one. That is our own rule, so that counts never depend on a tokenizer.
// Whole bodies and events are written from templates, because benchmarks use the simulator as their upstream.
import { type DrawnProfile, drawnProfile, hashOf, shareOf } from './simulated-draw.ts';
import type { SimulatedProfile, SimulatedScript } from './simulated-script.ts';
import { vectorEntry } from './simulated-vectors.ts';

/** One moment of a streamed answer; `data` is the payload of an event, `end` a clean end of the body. */
export type SimulatedStep =
  | { readonly kind: 'event'; readonly atMs: number; readonly data: string }
  | { readonly kind: 'end' | 'reset'; readonly atMs: number };

export type SimulatedAnswer =
  | { readonly kind: 'whole'; readonly atMs: number; readonly body: string }
  | { readonly kind: 'stream'; readonly steps: readonly SimulatedStep[] }
  | {
      readonly kind: 'refusal';
      readonly atMs: number;
      readonly status: number;
      readonly body: string;
      readonly retryAfter: string | undefined;
    };

type Open = Readonly<Record<string, unknown>>;

const CREATED = 1_767_225_600;
const CHARS_PER_TOKEN = 4;
const POOL_CHARS = 65_536;
const OUTPUT_TOKENS = 32;
const CHOICES_MAX = 128;
const WORDS = (
  'light time river stone a the of quiet morning signal under bright glass north every window small paper ' +
  'garden and moves with answer over simple copper line where rain falls between two bridges slow'
).split(' ');

/** Answers requests by a script; it counts them, for the faults that hit the nth one or a share. */
export class Simulation {
  readonly #script: SimulatedScript;
  readonly #counts = new Map<SimulatedProfile, number>();
  readonly #pools = new Map<number, string>();

  constructor(script: SimulatedScript) {
    this.#script = script;
  }

  /** The models that the script names. */
  get models(): readonly string[] {
    return Object.keys(this.#script);
  }

  answer(body: unknown): SimulatedAnswer {
    if (!isOpen(body) || typeof body['model'] !== 'string' || !Array.isArray(body['messages'])) {
      return refusal(400, undefined, undefined, 0);
    }
    const model = body['model'];
    const text = canonical(body['messages']);
    const { profile, seed, refused } = this.#next(model, text);
    if (refused !== undefined) return refused;
    const hash = hashOf(`${seed}\n${model}\n${text}`);
    const said = sayings(profile, body, hash, this.#pool(seed));
    const spoken: Spoken = { profile, body, said, hash, usage: usageOf(profile, body['messages'], said) };
    return body['stream'] === true ? { kind: 'stream', steps: steps(spoken) } : whole(spoken);
  }

  /** Vectors for the inputs of a request; a list of numbers is one input, of tokens. */
  embed(body: unknown): SimulatedAnswer {
    if (!isOpen(body) || typeof body['model'] !== 'string' || !isInput(body['input'])) {
      return refusal(400, undefined, undefined, 0);
    }
    const { model, input, dimensions, encoding_format: format } = body;
    const { profile, seed, refused } = this.#next(model, '');
    if (refused !== undefined) return refused;
    const inputs: readonly unknown[] = Array.isArray(input) && typeof input[0] !== 'number' ? input : [input];
    const entries = inputs.map((one, index) =>
      vectorEntry(index, hashOf(`${seed}\n${model}\n${canonical(one)}`), { dimensions, format }),
    );
    const tokens = inputs.reduce((sum: number, one) => sum + inputTokens(one), 0);
    const usage = reportsNone(profile) ? '' : `,"usage":{"prompt_tokens":${tokens},"total_tokens":${tokens}}`;
    const text = `{"object":"list","data":[${entries.join(',')}],"model":${JSON.stringify(model)}${usage}}`;
    return { kind: 'whole', atMs: profile.first_chunk_ms ?? 0, body: text };
  }

  #profileOf(model: string): SimulatedProfile {
    return (Object.hasOwn(this.#script, model) ? this.#script[model] : this.#script['default']) ?? plain;
  }

  /** Counts a request, draws its numbers, and sees whether the script refuses it. */
  #next(
    model: string,
    text: string,
  ): {
    readonly profile: DrawnProfile;
    readonly seed: number;
    readonly refused: SimulatedAnswer | undefined;
  } {
    const scripted = this.#profileOf(model);
    const count = (this.#counts.get(scripted) ?? 0) + 1;
    this.#counts.set(scripted, count);
    const seed = scripted.seed ?? 1;
    const profile = drawnProfile(scripted, `${seed}/${count}`, `${seed}/${model}/${text}`);
    return { profile, seed, refused: refusedBy(profile, seed, count) };
  }

  /** 64 KiB of words, made once per seed; every text is a piece of it. */
  #pool(seed: number): string {
    let pool = this.#pools.get(seed);
    if (pool === undefined) {
      const parts: string[] = [];
      for (let chars = 0; chars < POOL_CHARS;) {
        const word = WORDS[hashOf(`${seed}:${parts.length}`) % WORDS.length] ?? 'a';
        parts.push(word);
        chars += word.length + 1;
      }
      pool = parts.join(' ').slice(0, POOL_CHARS);
      this.#pools.set(seed, pool);
    }
    return pool;
  }
}

const plain: SimulatedProfile = {};

/** What the script makes of the nth request, of those of a window, or of a share. */
function refusedBy(profile: DrawnProfile, seed: number, count: number): SimulatedAnswer | undefined {
  const error = profile.errors?.find(({ when }) => {
    if (when === 'always') return true;
    if ('nth' in when) return when.nth === count;
    if ('window' in when) return when.window.from <= count && count <= when.window.to;
    return shareOf(`${seed}/${count}`) < when.ratio;
  });
  if (error === undefined) return undefined;
  return refusal(error.status, error.body, error.retry_after, profile.first_chunk_ms ?? 0);
}

/** Where a reader looks for it. */
const reportsNone = ({ usage }: SimulatedProfile): boolean => usage === 'absent' || usage === 'late';

/** What one choice says: a text, or the arguments of a tool call. */
interface Saying {
  readonly tool: { readonly id: string; readonly name: string } | undefined;
  readonly text: string;
  readonly finishReason: string;
}

interface Spoken {
  readonly profile: DrawnProfile;
  readonly body: Open;
  readonly said: readonly Saying[];
  readonly hash: number;
  /** JSON; undefined where the script reports none. */
  readonly usage: string | undefined;
}

function sayings(profile: DrawnProfile, body: Open, hash: number, pool: string): readonly Saying[] {
  const echoed = profile.echo === true ? lastText(body['messages']) : undefined;
  const chars = echoed?.length ?? profile.answer_bytes ?? (profile.output_tokens ?? OUTPUT_TOKENS) * CHARS_PER_TOKEN;
  const charsMax =
    (countOf(body['max_completion_tokens']) ?? countOf(body['max_tokens']) ?? Infinity) * CHARS_PER_TOKEN;
  const tool = toolOf(profile, body);
  return Array.from({ length: Math.min(countOf(body['n']) ?? 1, CHOICES_MAX) }, (_, index) => {
    const own = index === 0 ? hash : hashOf(`${hash}/${index}`);
    if (tool !== undefined) {
      const given = profile.tool_call?.arguments ?? { input: piece(pool, own, 24) };
      const text = typeof given === 'string' ? given : JSON.stringify(given);
      return {
        tool: { id: `call_${hex(own)}`, name: tool },
        text,
        finishReason: profile.finish_reason ?? 'tool_calls',
      };
    }
    const words = echoed?.slice(0, charsMax) ?? piece(pool, own, Math.min(chars, charsMax));
    const text = untilStop(words, body['stop']);
    return { tool, text, finishReason: profile.finish_reason ?? (charsMax < chars ? 'length' : 'stop') };
  });
}

/** The name of the tool to call, if this answer is a call: the script or the caller's choice says so. */
function toolOf(profile: SimulatedProfile, body: Open): string | undefined {
  const tools = body['tools'];
  const choice = body['tool_choice'];
  if (!Array.isArray(tools) || tools.length === 0 || choice === 'none') return undefined;
  const chosen = functionName(choice);
  if (chosen !== undefined) return chosen;
  if (profile.tool_call === undefined && choice !== 'required') return undefined;
  return profile.tool_call?.name ?? functionName(tools[0]) ?? 'tool';
}

function functionName(tool: unknown): string | undefined {
  const name = isOpen(tool) && isOpen(tool['function']) ? tool['function']['name'] : undefined;
  return typeof name === 'string' ? name : undefined;
}

function piece(pool: string, hash: number, chars: number): string {
  const start = pool.indexOf(' ', hash % (pool.length >>> 1)) + 1;
  const end = start + chars;
  if (end <= pool.length) return pool.slice(start, end);
  return pool.repeat(Math.ceil(end / pool.length)).slice(start, end);
}

function lastText(messages: unknown): string {
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  const content = isOpen(last) ? last['content'] : undefined;
  return typeof content === 'string' ? content : canonical(content ?? '');
}

function untilStop(text: string, stop: unknown): string {
  const ends = (Array.isArray(stop) ? stop : [stop])
    .filter((word): word is string => typeof word === 'string' && word !== '')
    .map((word) => text.indexOf(word))
    .filter((at) => at >= 0);
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends));
}

function usageOf(profile: SimulatedProfile, messages: readonly unknown[], said: readonly Saying[]): string | undefined {
  if (profile.usage === 'absent') return undefined;
  let promptChars = 0;
  for (const message of messages) promptChars += isOpen(message) ? contentChars(message['content']) : 0;
  const prompt = tokensOf(promptChars);
  const completion = said.reduce((sum, { text }) => sum + tokensOf(text.length), 0);
  const cached = profile.usage === 'inconsistent' ? prompt + 1 : Math.floor(prompt * (profile.cached_share ?? 0));
  const reasoning = Math.floor(completion * (profile.reasoning_share ?? 0));
  return (
    `{"prompt_tokens":${prompt},"completion_tokens":${completion},"total_tokens":${prompt + completion},` +
    `"prompt_tokens_details":{"cached_tokens":${cached}},"completion_tokens_details":{"reasoning_tokens":${reasoning}}}`
  );
}

const tokensOf = (chars: number): number => Math.max(1, Math.ceil(chars / CHARS_PER_TOKEN));
const isInput = (input: unknown): boolean => typeof input === 'string' || (Array.isArray(input) && input.length > 0);
const inputTokens = (input: unknown): number => (Array.isArray(input) ? input.length : tokensOf(contentChars(input)));
const contentChars = (content: unknown): number =>
  typeof content === 'string'
    ? content.length
    : content === undefined || content === null
      ? 0
      : canonical(content).length;

function head(spoken: Spoken, object: string): string {
  const model = JSON.stringify(spoken.body['model']);
  return `{"id":"chatcmpl-sim-${hex(spoken.hash)}","object":"${object}","created":${CREATED},"model":${model},"choices":[`;
}

function whole(spoken: Spoken): SimulatedAnswer {
  const { profile, said, usage } = spoken;
  const choices = said.map(({ tool, text, finishReason }, index) => {
    const message =
      tool === undefined
        ? `"content":${JSON.stringify(text)}`
        : `"content":null,"tool_calls":[{"id":"${tool.id}","type":"function","function":{"name":${JSON.stringify(tool.name)},"arguments":${JSON.stringify(text)}}}]`;
    return `{"index":${index},"message":{"role":"assistant",${message}},"finish_reason":${JSON.stringify(finishReason)}}`;
  });
  const tokens = said.reduce((sum, { text }) => sum + tokensOf(text.length), 0);
  const body = `${head(spoken, 'chat.completion')}${choices.join(',')}]${usage === undefined || reportsNone(profile) ? '' : `,"usage":${usage}`}}`;
  return { kind: 'whole', atMs: (profile.first_chunk_ms ?? 0) + paceMs(profile, tokens), body };
}

const paceMs = (profile: DrawnProfile, tokens: number): number =>
  profile.tokens_per_s === undefined || profile.tokens_per_s === 0 ? 0 : (tokens / profile.tokens_per_s) * 1000;

/** All moments of a stream: a role for each choice, content in turn, the ends, usage, [DONE]; faults where scripted. */
function steps(spoken: Spoken): readonly SimulatedStep[] {
  const { profile, body, said, usage } = spoken;
  const options = body['stream_options'];
  const withUsage = usage !== undefined && isOpen(options) && options['include_usage'] === true;
  const opening = head(spoken, 'chat.completion.chunk');
  const closing = withUsage ? ',"usage":null}' : '}';
  const event = (index: number, delta: string, finishReason: string | undefined): string =>
    `${opening}{"index":${index},"delta":${delta},"finish_reason":${finishReason === undefined ? 'null' : JSON.stringify(finishReason)}}]${closing}`;
  const chunks = profile.chunks ?? tokensOf(said[0]?.text.length ?? 0);
  const out = new Steps(profile);
  for (const [index, saying] of said.entries()) out.event(event(index, openingDelta(saying), undefined));
  for (let chunk = 0; chunk < chunks; chunk++) {
    if (!out.at(chunk)) return out.steps;
    for (const [index, { tool, text }] of said.entries()) {
      const part = text.slice(
        Math.floor((chunk * text.length) / chunks),
        Math.floor(((chunk + 1) * text.length) / chunks),
      );
      out.event(event(index, contentDelta(tool !== undefined, part), undefined));
      out.wait(paceMs(profile, part.length / CHARS_PER_TOKEN));
    }
  }
  if (!out.at(chunks)) return out.steps;
  for (const [index, { finishReason }] of said.entries()) out.event(event(index, '{}', finishReason));
  const report = `${opening}],"usage":${usage}}`;
  if (withUsage && !reportsNone(profile)) out.event(report);
  out.done(withUsage && reportsNone(profile) ? report : undefined);
  return out.steps;
}

function openingDelta({ tool }: Saying): string {
  if (tool === undefined) return '{"role":"assistant","content":""}';
  const call = `{"index":0,"id":"${tool.id}","type":"function","function":{"name":${JSON.stringify(tool.name)},"arguments":""}}`;
  return `{"role":"assistant","content":null,"tool_calls":[${call}]}`;
}

const contentDelta = (isCall: boolean, part: string): string =>
  isCall
    ? `{"tool_calls":[{"index":0,"function":{"arguments":${JSON.stringify(part)}}}]}`
    : `{"content":${JSON.stringify(part)}}`;

class Steps {
  readonly steps: SimulatedStep[] = [];
  readonly #faults: NonNullable<SimulatedProfile['stream_faults']>;
  #nowMs: number;

  constructor(profile: DrawnProfile) {
    this.#faults = profile.stream_faults ?? [];
    this.#nowMs = profile.first_chunk_ms ?? 0;
  }

  event(data: string): void {
    this.steps.push({ kind: 'event', atMs: this.#nowMs, data });
  }

  wait(ms: number): void {
    this.#nowMs += ms;
  }

  done(late: string | undefined): void {
    this.event('[DONE]');
    if (late !== undefined) this.event(late);
    if (this.#faults.some((fault) => fault.kind === 'duplicate_done')) this.event('[DONE]');
    this.#close('end');
  }

  /** Lets the faults before a content event happen; false if the stream is over. */
  at(chunk: number): boolean {
    if (this.#faults.length === 0) return true;
    for (const fault of this.#faults) {
      if (fault.at_chunk !== chunk) continue;
      switch (fault.kind) {
        case 'stall_ms':
          this.#nowMs += 'ms' in fault ? fault.ms : 0;
          break;
        case 'garbage':
          this.event('{"choices":[{');
          break;
        case 'error_event':
          this.event(errorBody(500));
          return this.#close('end');
        case 'truncate':
          return this.#close('end');
        case 'reset':
          return this.#close('reset');
        case 'duplicate_done':
          break;
      }
    }
    return true;
  }

  #close(kind: 'end' | 'reset'): false {
    this.steps.push({ kind, atMs: this.#nowMs });
    return false;
  }
}

const TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

const errorBody = (status: number): string =>
  JSON.stringify({
    error: { message: `simulated ${status}`, type: TYPES[status] ?? 'server_error', param: null, code: null },
  });

function refusal(
  status: number,
  body: unknown,
  retryAfter: string | number | undefined,
  atMs: number,
): SimulatedAnswer {
  const text = body === undefined ? errorBody(status) : typeof body === 'string' ? body : JSON.stringify(body);
  return {
    kind: 'refusal',
    atMs,
    status,
    body: text,
    retryAfter: retryAfter === undefined ? undefined : String(retryAfter),
  };
}

/** JSON with sorted keys: equal values are equal texts. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isOpen(value)) return JSON.stringify(value) ?? 'null';
  const members = Object.keys(value).toSorted();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

const hex = (hash: number): string => hash.toString(16).padStart(8, '0');
const countOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 ? value : undefined;
const isOpen = (value: unknown): value is Open => typeof value === 'object' && value !== null && !Array.isArray(value);
