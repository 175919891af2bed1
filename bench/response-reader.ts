// Reads HTTP/1.1 answers on one socket, just enough to judge them: status, length or chunks, SSE events.
// A body is text in latin1: one character is one byte, so lengths are exact and string searches are fast.

const HEAD_END = Buffer.from('\r\n\r\n');

/** The answer being read, and after `push` returned true the whole answer until the next `push`. */
export class ResponseReader {
  status = 0;
  /** The `data:` lines of the body, without the terminal `[DONE]`. */
  events = 0;
  isTerminated = false;
  /** The peer closes the socket after this answer. */
  isLast = false;
  /** Everything that is not an event stream. */
  body = '';

  #inHead = true;
  #head: Buffer | undefined;
  #isChunked = false;
  #isEventStream = false;
  /** Bytes to come of the body or of the chunk. */
  #left = 0;
  /** Bytes to come of the line end behind a chunk. */
  #skip = 0;
  #isFinalChunk = false;
  #sizeLine = '';
  #line = '';

  /** True when the answer is complete. Callers must not pipeline: bytes behind an answer are not kept. */
  push(data: Buffer): boolean {
    if (!this.#inHead) return this.#pushBody(data.toString('latin1'));
    const read = this.#head === undefined ? data : Buffer.concat([this.#head, data]);
    const end = read.indexOf(HEAD_END);
    if (end === -1) {
      this.#head = Buffer.from(read); // the caller reuses its buffer
      return false;
    }
    this.#start(read.toString('latin1', 0, end).toLowerCase());
    return this.#pushBody(read.toString('latin1', end + HEAD_END.length));
  }

  #start(head: string): void {
    this.status = Number(head.slice(9, 12));
    this.events = 0;
    this.isTerminated = false;
    this.isLast = head.includes('\r\nconnection: close');
    this.body = '';
    this.#inHead = false;
    this.#head = undefined;
    this.#isChunked = head.includes('\r\ntransfer-encoding: chunked');
    this.#isEventStream = head.includes('\r\ncontent-type: text/event-stream');
    this.#left = this.#isChunked ? 0 : lengthIn(head);
    this.#skip = 0;
    this.#isFinalChunk = false;
    this.#sizeLine = '';
    this.#line = '';
  }

  #pushBody(text: string): boolean {
    if (this.#isChunked) this.#inHead = this.#readChunks(text);
    else {
      this.#left -= text.length;
      this.#take(text);
      this.#inHead = this.#left <= 0;
    }
    return this.#inHead;
  }

  #readChunks(text: string): boolean {
    let at = 0;
    while (at < text.length) {
      if (this.#left > 0) {
        const part = text.slice(at, at + this.#left);
        this.#take(part);
        this.#left -= part.length;
        at += part.length;
      } else if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, text.length - at);
        this.#skip -= skipped;
        at += skipped;
        if (this.#skip === 0 && this.#isFinalChunk) return true;
      } else {
        const end = text.indexOf('\n', at);
        this.#sizeLine += text.slice(at, end === -1 ? undefined : end);
        if (end === -1) return false;
        this.#left = Number.parseInt(this.#sizeLine, 16);
        this.#isFinalChunk = this.#left === 0;
        this.#skip = 2;
        this.#sizeLine = '';
        at = end + 1;
      }
    }
    return false;
  }

  #take(part: string): void {
    if (!this.#isEventStream) {
      this.body += part;
      return;
    }
    const text = this.#line === '' ? part : this.#line + part;
    let at = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', at)) {
      if (text.startsWith('data: [DONE]', at)) this.isTerminated = true;
      else if (text.startsWith('data:', at)) this.events += 1;
      at = end + 1;
    }
    this.#line = text.slice(at);
  }
}

function lengthIn(head: string): number {
  const name = '\r\ncontent-length:';
  const at = head.indexOf(name);
  return at === -1 ? 0 : Number.parseInt(head.slice(at + name.length), 10);
}
