// Reads server-sent events from bytes as they come: any split, LF, CR or CRLF, a byte order mark, comments, many data lines.
// Line ends are single bytes that never occur inside a UTF-8 sequence, so bytes are cut after the last line end, decoded
// once, and only the unfinished line waits. An event counts when its blank line has come; what EOF cuts off is no event.
import { BeamlineError } from '../core/errors.ts';

const LF = 10;
const CR = 13;

/** Called once for each event, in order; `event` is its name if it has one. */
export type SseListener = (data: string, event: string | undefined) => void;

export class SseReader {
  readonly #onEvent: SseListener;
  readonly #eventBytesMax: number;
  #unfinished: Buffer[] = [];
  #unfinishedBytes = 0;
  #isFresh = true;
  #endedWithCr = false;
  #data: string | undefined;
  #event: string | undefined;

  constructor(onEvent: SseListener, eventBytesMax: number) {
    this.#onEvent = onEvent;
    this.#eventBytesMax = eventBytesMax;
  }

  /** Throws `provider_protocol_error` for an event over the cap; whatever the listener throws passes through. */
  push(chunk: Buffer): void {
    const cut = Math.max(chunk.lastIndexOf(LF), chunk.lastIndexOf(CR)) + 1;
    if (cut === 0) {
      this.#keep(chunk);
      return;
    }
    let text: string;
    if (this.#unfinishedBytes === 0) {
      text = chunk.toString('utf8', 0, cut);
    } else {
      text = Buffer.concat([...this.#unfinished, chunk.subarray(0, cut)]).toString('utf8');
      this.#unfinished = [];
      this.#unfinishedBytes = 0;
    }
    this.#read(this.#normalised(text));
    if (cut < chunk.length) this.#keep(chunk.subarray(cut));
  }

  #keep(bytes: Buffer): void {
    this.#unfinished.push(bytes);
    this.#unfinishedBytes += bytes.length;
    this.#bound(this.#unfinishedBytes);
  }

  #bound(size: number): void {
    if (size <= this.#eventBytesMax) return;
    throw new BeamlineError('provider_protocol_error', `an event holds at most ${this.#eventBytesMax} bytes`, {
      details: { reason: 'too_large' },
    });
  }

  /** Only LF ends lines afterwards. A CR at the very end counts at once; an LF that then follows belongs to it. */
  #normalised(text: string): string {
    let lines = text;
    if (this.#isFresh) {
      this.#isFresh = false;
      if (lines.charCodeAt(0) === 0xfeff) lines = lines.slice(1);
    }
    if (this.#endedWithCr && lines.charCodeAt(0) === LF) lines = lines.slice(1);
    this.#endedWithCr = text.charCodeAt(text.length - 1) === CR;
    return lines.includes('\r') ? lines.replaceAll(/\r\n?/g, '\n') : lines;
  }

  #read(lines: string): void {
    for (let at = 0; at < lines.length;) {
      const end = lines.indexOf('\n', at);
      if (end === at) {
        this.#finish();
      } else if (lines.startsWith('data: ', at)) {
        // The common event, one data line and its blank line, leaves no state behind.
        if (this.#data === undefined && this.#event === undefined && lines.charCodeAt(end + 1) === LF) {
          this.#bound(end - at);
          if (end > at + 6) this.#onEvent(lines.slice(at + 6, end), undefined);
          at = end + 2;
          continue;
        }
        this.#addData(lines.slice(at + 6, end));
      } else {
        this.#field(lines.slice(at, end));
      }
      at = end + 1;
    }
  }

  /** `id` and `retry` mean nothing to us; a line that starts with a colon is a comment. */
  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    if (name !== 'data' && name !== 'event') return;
    const start = line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1;
    const value = colon < 0 ? '' : line.slice(start);
    if (name === 'data') this.#addData(value);
    else this.#event = value;
  }

  #addData(value: string): void {
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    this.#bound(this.#data.length);
  }

  #finish(): void {
    const data = this.#data;
    const event = this.#event;
    this.#data = undefined;
    this.#event = undefined;
    if (data !== undefined && data !== '') this.#onEvent(data, event === '' ? undefined : event);
  }
}
