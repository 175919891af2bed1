// The protocol of NATS by hand over a socket: what a program of somebody else does, in whatever language, that was
// written for version 1 and has never seen our code.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawMessage {
  readonly subject: string;
  readonly replyTo: string | undefined;
  /** The header block as it came, from `NATS/1.0` on; undefined where there was none. */
  readonly headers: string | undefined;
  readonly body: string;
}

export type Headers = Readonly<Record<string, string>>;

const CRLF = '\r\n';
const WAIT_MS = 15_000;

/** Messages in the order in which they came, waited for one by one. */
export class RawQueue {
  readonly #come: RawMessage[] = [];
  readonly #waiting: ((message: RawMessage) => void)[] = [];

  push(message: RawMessage): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#come.push(message);
    else waiter(message);
  }

  get size(): number {
    return this.#come.length;
  }

  next(): Promise<RawMessage> {
    const first = this.#come.shift();
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no message came')), WAIT_MS);
      this.#waiting.push((message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }
}

export class RawNats implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #queues = new Map<string, RawQueue>();
  readonly #pongs: (() => void)[] = [];
  readonly #errors: string[] = [];
  #buffer = Buffer.alloc(0);
  #sid = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (data) => {
      this.#buffer = Buffer.concat([this.#buffer, data]);
      while (this.#take());
    });
  }

  /** `more` joins the options of CONNECT, for example a user and a password. */
  static async open(port: number, more: object = {}): Promise<RawNats> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const nats = new RawNats(socket);
    const options = { verbose: false, pedantic: false, lang: 'hand', version: '1', headers: true, no_responders: true };
    nats.#write(`CONNECT ${JSON.stringify({ ...options, ...more })}${CRLF}`);
    await nats.flush();
    return nats;
  }

  /** What the server complained of. */
  get errors(): readonly string[] {
    return this.#errors;
  }

  subscribe(subject: string, group = ''): RawQueue {
    const sid = String(++this.#sid);
    const queue = new RawQueue();
    this.#queues.set(sid, queue);
    this.#write(`SUB ${subject} ${group === '' ? '' : `${group} `}${sid}${CRLF}`);
    return queue;
  }

  publish(
    subject: string,
    body: string,
    { replyTo = '', headers }: { replyTo?: string; headers?: Headers } = {},
  ): void {
    const to = replyTo === '' ? subject : `${subject} ${replyTo}`;
    const bytes = Buffer.byteLength(body);
    if (headers === undefined) {
      this.#write(`PUB ${to} ${bytes}${CRLF}${body}${CRLF}`);
      return;
    }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}${CRLF}`);
    const block = `NATS/1.0${CRLF}${lines.join('')}${CRLF}`;
    this.#write(
      `HPUB ${to} ${Buffer.byteLength(block)} ${Buffer.byteLength(block) + bytes}${CRLF}${block}${body}${CRLF}`,
    );
  }

  /** The first message on an inbox of its own. */
  request(subject: string, body: string, headers?: Headers): Promise<RawMessage> {
    const replyTo = `_INBOX.hand.${process.pid}.${this.#sid + 1}`;
    const queue = this.subscribe(replyTo);
    this.publish(subject, body, headers === undefined ? { replyTo } : { replyTo, headers });
    return queue.next();
  }

  /** Resolves when the server has read everything that was written. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#pongs.push(resolve);
      this.#write(`PING${CRLF}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await once(this.#socket, 'close');
  }

  #write(text: string): void {
    this.#socket.write(text);
  }

  /** Takes one message of the protocol from the buffer; false if it is not whole. */
  #take(): boolean {
    const end = this.#buffer.indexOf(CRLF);
    if (end === -1) return false;
    const [word = '', ...rest] = this.#buffer.toString('latin1', 0, end).split(' ');
    const length = word === 'MSG' || word === 'HMSG' ? Number(rest.at(-1)) : undefined;
    const from = end + CRLF.length;
    if (length !== undefined && this.#buffer.length < from + length + CRLF.length) return false;
    if (length === undefined) this.#control(word, rest.join(' '));
    else this.#deliver(word === 'HMSG', rest, this.#buffer.subarray(from, from + length));
    this.#buffer = this.#buffer.subarray(length === undefined ? from : from + length + CRLF.length);
    return true;
  }

  #control(word: string, rest: string): void {
    if (word === 'PING') this.#write(`PONG${CRLF}`);
    if (word === 'PONG') this.#pongs.shift()?.();
    if (word === '-ERR') this.#errors.push(rest);
  }

  #deliver(hasHeaders: boolean, words: readonly string[], bytes: Buffer): void {
    const [subject = '', sid = '', ...sizes] = words;
    const counts = hasHeaders ? 2 : 1;
    const headerBytes = hasHeaders ? Number(sizes.at(-2)) : 0;
    this.#queues.get(sid)?.push({
      subject,
      replyTo: sizes.length > counts ? sizes[0] : undefined,
      headers: hasHeaders ? bytes.toString('utf8', 0, headerBytes) : undefined,
      body: bytes.toString('utf8', headerBytes),
    });
  }
}
