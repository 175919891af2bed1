// A whole answer told to a sink, as what its caller reads: in one piece, or as the events of a stream.
import { readChunk } from '../dialect/openai-chat.ts';
import { chunksOf } from '../dialect/openai-chunks.ts';
import type { ChatEnd, ChatSink } from './provider.ts';

/** The answer as a stream: its chunks, then the end. */
export function streamWhole(sink: ChatSink, body: Readonly<Record<string, unknown>>, end: ChatEnd): void {
  for (const raw of chunksOf(body)) {
    const chunk = readChunk(raw);
    if (chunk !== undefined) sink.chunk(raw, chunk);
  }
  sink.end({ ...end, raw: undefined });
}
