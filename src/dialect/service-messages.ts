// Between the OpenAI chat format and the messages of provider services on the bus, both directions (contracts 4.13).
// What a service cannot say is refused, never left out silently.
import type { ProviderReply, ProviderRequest } from '../contracts/provider-call.ts';

type Open = Readonly<Record<string, unknown>>;

/** The question of a chat body, or the feature of it that a service cannot serve. */
export type Asked =
  | { readonly kind: 'asked'; readonly question: Pick<ProviderRequest, 'messages' | 'prompt' | 'parameters'> }
  | { readonly kind: 'refused'; readonly why: 'several_choices' | 'no_messages' };

/** Parameters keep their OpenAI names; the limit of the output is always `max_tokens`. */
export function questionOf(body: Open, model: string): Asked {
  const { messages, prompt, stream: _, stream_options: __, max_completion_tokens, max_tokens, n, ...rest } = body;
  if (n !== undefined && n !== null && n !== 1) return { kind: 'refused', why: 'several_choices' };
  const limit = max_completion_tokens ?? max_tokens;
  const parameters = { ...rest, model, ...(limit === undefined || limit === null ? {} : { max_tokens: limit }) };
  if (Array.isArray(messages) && messages.every(isOpen))
    return { kind: 'asked', question: { messages: [...messages], parameters } };
  if (typeof prompt === 'string') return { kind: 'asked', question: { prompt, parameters } };
  return { kind: 'refused', why: 'no_messages' };
}

/** The body of a chat completion; undefined for an output that is neither a text nor a message. */
export function completionOf(
  { output, usage, metadata }: ProviderReply,
  of: { readonly id: string; readonly model: string; readonly createdMs: number },
): Open | undefined {
  const message = messageOf(output);
  if (message === undefined) return undefined;
  const reason = message['tool_calls'] === undefined ? 'stop' : 'tool_calls';
  return {
    id: of.id,
    object: 'chat.completion',
    created: Math.floor(of.createdMs / 1_000),
    model: metadata?.model ?? of.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: metadata?.finish_reason ?? reason }],
    ...(usage === undefined ? {} : { usage: usageOf(usage) }),
  };
}

const usageOf = ({ prompt_tokens, completion_tokens, total_tokens }: NonNullable<ProviderReply['usage']>): Open => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: total_tokens ?? prompt_tokens + completion_tokens,
});

function messageOf(output: unknown): Open | undefined {
  if (typeof output === 'string') return { role: 'assistant', content: output };
  if (!isOpen(output)) return undefined;
  const { content = null, tool_calls: calls } = output;
  const isSaid = typeof content === 'string' || (Array.isArray(calls) && calls.length > 0);
  return isSaid ? { ...output, role: 'assistant', content } : undefined;
}

const isOpen = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
