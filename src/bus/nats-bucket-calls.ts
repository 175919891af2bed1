// Single entries of a bucket over the one reply inbox of the process: what the client library does in four times the time.
// C1. A write is confirmed by a sequence, which is the entry's revision; a lost confirmation leaves open whether it happened.
// C2. A mark of a deletion counts as no entry, also for whoever creates one.
import type { Msg } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { Entry } from './bus.ts';
import { readPubAck } from './nats-append.ts';
import { WrittenHeaders } from './nats-headers.ts';
import { isAbsent } from './nats-stored.ts';
import type { NatsRequests } from './nats-requests.ts';

const TIMEOUT_MS = 5_000;
const NO_MESSAGE = 404;
const OPERATION = 'KV-Operation';
const WRITTEN = 'Nats-Time-Stamp';
const DELETED = new WrittenHeaders(`NATS/1.0\r\n${OPERATION}: DEL\r\n\r\n`);
const EMPTY = new Uint8Array();

export interface Found {
  readonly revision: number;
  readonly value: string;
  readonly deleted: boolean;
  /** The server's time, as text. */
  readonly written: string;
}

export interface BucketCallsOptions {
  readonly requests: NatsRequests;
  readonly stream: string;
  /** Revisions that it keeps of a key. */
  readonly history: number;
  /** The subject of a key; keys have been checked. */
  readonly subjectOf: (key: string) => string;
  /** Whether any copy may answer a read: where there is one copy, it has what was written. */
  readonly readsDirectly: () => boolean;
}

export class BucketCalls {
  readonly #options: BucketCallsOptions;

  constructor(options: BucketCallsOptions) {
    this.#options = options;
  }

  async get(key: string): Promise<Entry | undefined> {
    const found = await this.find(key);
    if (found === undefined || found.deleted) return undefined;
    const { value, revision, deleted } = found;
    return { key, value, revision, deleted };
  }

  async writtenMs(key: string): Promise<number | undefined> {
    const found = await this.find(key);
    return found === undefined || found.deleted ? undefined : Date.parse(found.written);
  }

  /** Removes what stands under the key, by its number, with all that it replaced: the bucket keeps nothing of it. */
  async remove(key: string): Promise<void> {
    const found = await this.find(key);
    if (found === undefined) return;
    await this.removeReplaced(key, found.revision);
    await this.removeNumber(found.revision);
  }

  /** Removes what an entry of the key replaced, the oldest first: a server of 2.9 that loses the newest shows no other. */
  async removeReplaced(key: string, revision: number): Promise<void> {
    const { requests, stream, history, subjectOf } = this.#options;
    const bytes = new TextEncoder().encode(JSON.stringify({ next_by_subj: subjectOf(key), seq: 1 }));
    const subject = `$JS.API.STREAM.MSG.GET.${stream}`;
    for (let left = history; left > 1; left--) {
      const asked = { subject, bytes, headers: undefined, timeoutMs: TIMEOUT_MS, read: readStoredMessage };
      // eslint-disable-next-line no-await-in-loop -- one revision after the other
      const oldest = await requests.call(asked);
      if (oldest === undefined || oldest.revision >= revision) return;
      // eslint-disable-next-line no-await-in-loop -- as above
      await this.#remove({ seq: oldest.revision });
    }
  }

  removeNumber(revision: number): Promise<void> {
    return this.#remove({ seq: revision, no_erase: true });
  }

  async #remove(what: { readonly seq: number; readonly no_erase?: boolean }): Promise<void> {
    const { requests, stream } = this.#options;
    await requests.call({
      subject: `$JS.API.STREAM.MSG.DELETE.${stream}`,
      bytes: new TextEncoder().encode(JSON.stringify(what)),
      headers: undefined,
      timeoutMs: TIMEOUT_MS,
      read: readRemoved,
    });
  }

  /** Overwrites what has the number if it is the key's: a removal that the server only remembers, it forgets again. */
  async drop(key: string, revision: number): Promise<void> {
    const { requests, stream, subjectOf } = this.#options;
    const holder = await requests.call({
      subject: `$JS.API.STREAM.MSG.GET.${stream}`,
      bytes: new TextEncoder().encode(JSON.stringify({ seq: revision })),
      headers: undefined,
      timeoutMs: TIMEOUT_MS,
      read: readHolder,
    });
    if (holder === subjectOf(key)) await this.#remove({ seq: revision });
  }

  put(key: string, value: string): Promise<number> {
    return this.#write(key, value, undefined);
  }

  async update(key: string, value: string, revision: number): Promise<number> {
    try {
      return await this.#write(key, value, expecting(revision));
    } catch (thrown) {
      if (revision !== 0 || BeamlineError.from(thrown).code !== 'precondition_failed') throw thrown;
      const found = await this.find(key);
      if (found?.deleted !== true) throw thrown;
      return this.#write(key, value, expecting(found.revision));
    }
  }

  /** The revision of its mark. */
  delete(key: string): Promise<number> {
    return this.#write(key, '', DELETED);
  }

  async #write(key: string, value: string, headers: WrittenHeaders | undefined): Promise<number> {
    const { requests, subjectOf } = this.#options;
    const bytes = value === '' ? EMPTY : new TextEncoder().encode(value);
    const subject = subjectOf(key);
    const { seq } = await requests.call({ subject, bytes, headers, timeoutMs: TIMEOUT_MS, read: readPubAck });
    return seq;
  }

  /** What stands under a key, the mark of a deletion included. */
  find(key: string): Promise<Found | undefined> {
    const { requests, stream, subjectOf, readsDirectly } = this.#options;
    const subject = subjectOf(key);
    const common = { headers: undefined, timeoutMs: TIMEOUT_MS };
    if (readsDirectly()) {
      return requests.call({
        ...common,
        subject: `$JS.API.DIRECT.GET.${stream}.${subject}`,
        bytes: EMPTY,
        read: readDirect,
      });
    }
    const bytes = new TextEncoder().encode(JSON.stringify({ last_by_subj: subject }));
    return requests.call({ ...common, subject: `$JS.API.STREAM.MSG.GET.${stream}`, bytes, read: readStoredMessage });
  }
}

const expecting = (revision: number): WrittenHeaders =>
  new WrittenHeaders(`NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: ${revision}\r\n\r\n`);

export const isDeletion = (operation: string): boolean => operation === 'DEL' || operation === 'PURGE';

function readDirect(msg: Msg): Found | undefined {
  const { headers } = msg;
  if (headers === undefined) throw new BeamlineError('invalid_reply', 'not an entry of a bucket');
  if (headers.code === NO_MESSAGE) return undefined;
  const revision = Number(headers.get('Nats-Sequence'));
  if (!(revision > 0)) throw new BeamlineError('unavailable', 'the bucket cannot be read now');
  const deleted = isDeletion(headers.get(OPERATION));
  return { revision, value: msg.string(), deleted, written: headers.get(WRITTEN) };
}

interface WireStored {
  readonly error?: { readonly code: number; readonly description?: string };
  readonly message?: {
    readonly subject: string;
    readonly seq: number;
    readonly data?: string;
    readonly hdrs?: string;
    readonly time?: string;
  };
}

function readStoredMessage(msg: Msg): Found | undefined {
  const { error, message } = JSON.parse(msg.string()) as WireStored;
  if (error?.code === NO_MESSAGE) return undefined;
  if (message === undefined) throw new BeamlineError('unavailable', 'the bucket cannot be read now');
  const operation = new RegExp(`^${OPERATION}: (\\w+)`, 'm').exec(textOf(message.hdrs))?.[1] ?? '';
  const { seq: revision, data, time: written = '' } = message;
  return { revision, value: textOf(data), deleted: isDeletion(operation), written };
}

/** The subject of the message; undefined where there is none. */
const readHolder = (msg: Msg): string | undefined => (JSON.parse(msg.string()) as WireStored).message?.subject;

function readRemoved(msg: Msg): void {
  const { error } = JSON.parse(msg.string()) as { readonly error?: { readonly err_code?: number } };
  if (error === undefined || isAbsent(error.err_code)) return;
  throw new BeamlineError('unavailable', 'the entry cannot be removed now');
}

const textOf = (base64 = ''): string => Buffer.from(base64, 'base64').toString('utf8');
