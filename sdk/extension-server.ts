// Serves an extension on a NATS connection that the caller opened: a request in, one reply out, whatever happens.
// It has no dependency of its own; any connection of the NATS client for JavaScript fits `Connection`.

export type ExtensionType = 'pre' | 'validator' | 'post';
type Members = Record<string, unknown>;

/** What a router asks. Names are those of the wire. */
export interface ExtensionRequest {
  readonly version: '1';
  readonly type: ExtensionType;
  readonly extension_id: string;
  readonly tenant_id: string;
  readonly policy_id: string;
  /** The policy item's settings over the descriptor's. */
  readonly config: Members;
  /** Milliseconds that are left; an answer after it is not read. */
  readonly deadline_ms: number;
  /** The task's payload, for example the body of a chat completion; for `post` the output. */
  readonly payload: Members;
  readonly metadata: Members;
  readonly context: Members;
  readonly request_id?: string;
  readonly trace_id?: string;
}

/** `pre` and `post`: replacements; what is absent stays as it is. A validator says `status`. */
export interface ExtensionReply {
  readonly payload?: Members;
  readonly metadata?: Members;
  readonly context?: Members;
  readonly status?: 'ok' | 'reject';
  /** Shown to the caller of a rejected request. */
  readonly reason?: string;
  readonly details?: Members;
}

export interface Extension {
  /** Small letters, digits and `_`, a letter first, at most 64. */
  readonly id: string;
  readonly type: ExtensionType;
  /** Of the two, what the router's configuration names: a version, an instance, or both. Small letters, digits and `_`. */
  readonly version?: string;
  readonly instance?: string;
  handle(request: ExtensionRequest): ExtensionReply | Promise<ExtensionReply>;
}

interface Message {
  readonly data: Uint8Array;
  respond(data: Uint8Array): boolean;
}

/** The part of a NATS connection that is used. */
export interface Connection {
  subscribe(
    subject: string,
    options: { queue: string; callback: (fault: Error | null, message: Message) => void },
  ): { unsubscribe(): void };
}

const ID = /^[a-z][a-z0-9_]{0,63}$/;
const PART = /^[a-z0-9_]{1,32}$/;
const STAGES: Readonly<Record<ExtensionType, string>> = { pre: 'pre', validator: 'validate', post: 'post' };

/** Answers until `close`. Several servers of one extension share its requests. Throws `TypeError` for an illegal id. */
export function serveExtension(connection: Connection, extension: Extension): { close(): void } {
  const { id, type, version, instance } = extension;
  if (!ID.test(id)) throw new TypeError(`an extension id is ${ID.source}, not ${JSON.stringify(id)}`);
  for (const part of [version, instance]) {
    if (part !== undefined && !PART.test(part)) {
      throw new TypeError(`a version or an instance is ${PART.source}, not ${JSON.stringify(part)}`);
    }
  }
  const versioned = version === undefined ? id : `${id}-v${version}`;
  const endpoint = instance === undefined ? versioned : `${versioned}-i${instance}`;
  const subscription = connection.subscribe(`beamline.ext.${STAGES[type]}.${endpoint}.v1`, {
    queue: 'extension',
    callback(fault, message) {
      if (fault === null) void answer(extension, message.data).then((reply) => message.respond(reply));
    },
  });
  return { close: () => subscription.unsubscribe() };
}

const encode = (reply: object): Uint8Array => new TextEncoder().encode(JSON.stringify(reply));
const failed = (code: string, message: string): Uint8Array => encode({ ok: false, error: { code, message } });

async function answer(extension: Extension, data: Uint8Array): Promise<Uint8Array> {
  let request: ExtensionRequest;
  try {
    request = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)) as ExtensionRequest;
  } catch {
    return failed('invalid_payload', 'the request is not JSON');
  }
  try {
    return encode({ ok: true, ...(await extension.handle(request)) });
  } catch (fault) {
    return failed('processing_error', fault instanceof Error ? fault.message.slice(0, 1_024) : 'the extension failed');
  }
}
