// A whole answer of the OpenAI chat format as the events of a stream: what everybody says, how everybody ended, and the
// usage. For answers that were there in one piece although their caller reads a stream.

type Open = Readonly<Record<string, unknown>>;

/** The events in order, as texts. Of a body that `readCompletion` accepts. */
export function chunksOf(body: Open): readonly string[] {
  const { choices, usage, ...rest } = body;
  const head = { ...rest, object: 'chat.completion.chunk' };
  const all = (Array.isArray(choices) ? choices : []).filter(isOpen);
  const said = all.map(({ message, ...choice }, index) => ({
    index,
    ...choice,
    delta: isOpen(message) ? deltaOf(message) : {},
    finish_reason: null,
  }));
  const ended = all.map(({ index: own, finish_reason: reason }, index) => ({
    index: own ?? index,
    delta: {},
    finish_reason: reason ?? 'stop',
  }));
  const events: Open[] = [
    { ...head, choices: said },
    { ...head, choices: ended },
  ];
  if (isOpen(usage)) events.push({ ...head, choices: [], usage });
  return events.map((event) => JSON.stringify(event));
}

/** In a stream each tool call says its place. */
function deltaOf(message: Open): Open {
  const calls = message['tool_calls'];
  if (!Array.isArray(calls)) return message;
  return { ...message, tool_calls: calls.map((call, index) => (isOpen(call) ? Object.assign({ index }, call) : call)) };
}

const isOpen = (value: unknown): value is Open => typeof value === 'object' && value !== null && !Array.isArray(value);
