// Reads a stream of server-sent events by hand, so that what a test sees is what was sent.
import assert from 'node:assert/strict';

/** The payloads of the events of a whole body, in order; comments are left out. */
export const dataOf = (text: string): readonly string[] =>
  text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));

/** How a stream ended: `done`, the code of its one error event, or what is wrong with it. */
export function endingOf(text: string): string {
  const terminal = dataOf(text).flatMap((data, index, all) => {
    const code = data === '[DONE]' ? 'done' : (JSON.parse(data) as { error?: { code: string } }).error?.code;
    return code === undefined ? [] : [index === all.length - 1 ? code : `${code}, and then more`];
  });
  return terminal.length === 1 ? (terminal[0] ?? '') : `${terminal.length} terminal events`;
}

/** A stream whose first content has come; `rest` resolves with how it ended. */
export async function begin({ body }: Response): Promise<{ rest(): Promise<string> }> {
  assert.ok(body);
  const parts = body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  let text = '';
  while (!text.includes('"content":"')) {
    // eslint-disable-next-line no-await-in-loop -- a stream is read in order
    const { done, value } = await parts.next();
    assert.ok(done !== true, text);
    text += value;
  }
  return {
    async rest() {
      for await (const part of { [Symbol.asyncIterator]: () => parts }) text += part;
      return endingOf(text);
    },
  };
}
