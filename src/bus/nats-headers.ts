// Headers on NATS: written straight as bytes, read only when somebody asks for them.
// Only values that our own code made are written, and the client library's header object, which checks and copies
// each name and value, is not needed for them.
import type { Msg, MsgHdrs } from '@nats-io/transport-node';
import { carriesMessageId, type Correlation, type HeaderSet, headersOf } from '../contracts/headers.ts';
import { ID_BYTES_MAX } from '../contracts/limits.ts';
import type { Received } from './bus.ts';
import { assertMore, HEADER_VALUE as VALUE, invalidHeader } from './sent-headers.ts';

/** A scheme and a credential; the bytes are those that all headers of a message may have together. */
const CREDENTIAL = /^[A-Za-z]+ [\x21-\x7e]+$/;
const CREDENTIAL_BYTES_MAX = 8_192;
const AUTHORIZATION = 'authorization';

/** All that the client library's `publish` uses of a header object. */
export class WrittenHeaders {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** In bytes: the text is ASCII. */
  get size(): number {
    return this.#text.length;
  }

  encode(): Uint8Array {
    return Buffer.from(this.#text, 'latin1');
  }
}

/** The headers of one message; throws `internal` for a value that is not printable ASCII without spaces. */
export function writeHeaders(
  set: HeaderSet,
  correlation: Correlation | undefined,
  messageId?: string,
  more?: Readonly<Record<string, string>>,
): WrittenHeaders | undefined {
  if (correlation === undefined && messageId === undefined) return undefined;
  let text = 'NATS/1.0\r\n';
  if (correlation !== undefined) for (const [name, value] of headersOf(set, correlation)) text += line(name, value);
  if (messageId !== undefined) {
    if (carriesMessageId(set)) text += line('x_msg_id', messageId);
    text += line('Nats-Msg-Id', messageId);
  }
  if (more !== undefined) {
    assertMore(more);
    for (const [name, value] of Object.entries(more)) text += line(name, value);
  }
  return new WrittenHeaders(`${text}\r\n`);
}

function line(name: string, value: string): string {
  const isLegal = name === AUTHORIZATION ? isCredential(value) : VALUE.test(value);
  if (!isLegal) throw invalidHeader(name);
  return `${name}: ${value}\r\n`;
}

/** The server's own status, such as 503 for no responders; 0 for a message of a person. */
export function statusOf(msg: Msg): number {
  if (msg.data.length > 0) return 0;
  try {
    return msg.headers?.code ?? 0;
  } catch {
    return 0;
  }
}

const TRACE_NAMES = ['x_trace_id', 'x-trace-id', 'trace_id'];
const TENANT_NAMES = ['x_tenant_id', 'x-tenant-id', 'tenant_id'];

/** A message of NATS as handlers see it: its headers are decoded on first use. */
export class NatsReceived implements Received {
  readonly #msg: Msg;

  constructor(msg: Msg) {
    this.#msg = msg;
  }

  get subject(): string {
    return this.#msg.subject;
  }

  get traceId(): string | undefined {
    return headerOf(this.#msg, TRACE_NAMES, isId);
  }

  get tenantId(): string | undefined {
    return headerOf(this.#msg, TENANT_NAMES, isId);
  }

  get authorization(): string | undefined {
    return headerOf(this.#msg, [AUTHORIZATION], isCredential);
  }
}

const isId = (value: string): boolean => value.length <= ID_BYTES_MAX && VALUE.test(value);
const isCredential = (value: string): boolean => value.length <= CREDENTIAL_BYTES_MAX && CREDENTIAL.test(value);

/** Names compare without case; a value that is not legal reads as absent, as do headers that cannot be read. */
function headerOf(msg: Msg, names: readonly string[], isLegal: (value: string) => boolean): string | undefined {
  try {
    const headers = msg.headers;
    if (headers === undefined) return undefined;
    const written = headers.keys();
    for (const name of names) {
      const key = written.find((other) => other.toLowerCase() === name);
      const value = key === undefined ? '' : headers.get(key);
      if (isLegal(value)) return value;
    }
  } catch {
    // Headers of a foreign client that the library refuses to read.
  }
  return undefined;
}

/** Every header as it was written; none where they cannot be read. */
export function headersIn(headers: MsgHdrs | undefined): Record<string, string> {
  if (headers === undefined) return {};
  return Object.fromEntries(headers.keys().map((name) => [name, headers.get(name)]));
}
