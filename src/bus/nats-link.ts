// One connection to NATS at a time, and a loop that makes the next: the client library's own reconnecting is off,
// because it buffers what is published meanwhile and tells too late that replies are lost.
// L1. While there is no connection nothing is sent, buffered or waited for: `send` throws `unavailable`.
// L2. At most `outboundBytesMax` bytes are on the way to a server that has not confirmed them.
// L3. A server that stays silent for SILENCE_MS loses the connection, so a stopped one looks like a dead one.
// L4. A lone server that was started anew may not show what it had confirmed; whoever wrote that writes it again with the
//     new connection (recent-writes.ts). Who was connected before takes nothing from it for that time.
import { connect, credsAuthenticator, type ConnectionOptions, type NatsConnection } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Urgency } from './bus.ts';
import { openState, type StateCell } from './bus-state.ts';
import { NatsOutbound, type Outgoing } from './nats-outbound.ts';
import { greets } from './nats-probe.ts';

export interface NatsLinkOptions {
  /** One server or several, separated by commas; `tls://` insists on TLS. */
  readonly url: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly outboundBytesMax?: number;
  /** The text of a credentials file, asked for at every dial, so that it can change. */
  readonly creds?: () => string | undefined;
  /** Between 0 and 1, for the jitter of waits. */
  readonly random?: () => number;
}

const OUTBOUND_BYTES_MAX = 33_554_432;
const FLUSH_BYTES = 1_048_576;
/** Headers and protocol text around a message, generously. */
const FRAMING_BYTES = 192;
const DIAL_MS = 2_000;
const BEAT_MS = 5_000;
const SILENCE_MS = 10_000;
/** A server that comes back is found within this time, and what waits for it is ready well within five seconds. */
const BACKOFF_MS = { first: 100, max: 1_000 };
const FLUSH_WAIT_MS = 5_000;
/** Most connect again within the longest wait, and look through a minute of writes in less than a second. */
const REPAIRED_MS = 3_000;

export const connectionLost = (): BeamlineError =>
  new BeamlineError('unavailable', 'no connection to the bus', {
    details: { reason: 'connection_lost' },
  });

/** A connection and the bytes that went into it. */
class Live {
  readonly nc: NatsConnection;
  readonly #timers: Timers;
  readonly #flushBytes: number;
  readonly #bytesMax: number;
  readonly #payloadMax: number;
  readonly #outbound: NatsOutbound;
  #sent = 0;
  #marked = 0;
  #confirmed = 0;
  #flushSinceMs: number | undefined;

  constructor(nc: NatsConnection, bytesMax: number, timers: Timers, log: Log) {
    this.nc = nc;
    this.#outbound = new NatsOutbound(nc, timers, log);
    this.#payloadMax = nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    this.#timers = timers;
    this.#bytesMax = bytesMax;
    this.#flushBytes = Math.min(FLUSH_BYTES, bytesMax / 4);
  }

  send(message: Outgoing, urgency: Urgency): void {
    const { subject, bytes, headers } = message;
    if (bytes.length + (headers?.size ?? 0) > this.#payloadMax) {
      throw new BeamlineError('payload_too_large', 'the server takes no message of this size');
    }
    this.#take(bytes.length + subject.length + FRAMING_BYTES);
    this.#outbound.push(message, urgency);
  }

  #take(bytes: number): void {
    if (this.#sent - this.#confirmed + bytes > this.#bytesMax) {
      throw new BeamlineError('unavailable', 'the bus takes no more at present', {
        details: { reason: 'outbound_full' },
      });
    }
    this.#sent += bytes;
    if (this.#sent - this.#marked >= this.#flushBytes) void this.flush().catch(() => undefined);
  }

  async flush(): Promise<void> {
    this.#outbound.release();
    const mark = this.#sent;
    this.#marked = mark;
    this.#flushSinceMs ??= this.#timers.clock.nowMs();
    await this.nc.flush();
    this.#confirmed = mark;
    this.#flushSinceMs = mark === this.#marked ? undefined : this.#timers.clock.nowMs();
  }

  /** How long the oldest flush has been waiting. */
  get silentMs(): number {
    return this.#flushSinceMs === undefined ? 0 : this.#timers.clock.nowMs() - this.#flushSinceMs;
  }
}

export class NatsLink {
  readonly log: Log;
  readonly timers: Timers;
  readonly state: StateCell;
  readonly #options: NatsLinkOptions;
  readonly #servers: readonly string[];
  readonly #attachments = new Set<(nc: NatsConnection) => void>();
  readonly #losses = new Set<() => void>();
  readonly #closing = new AbortController();
  #live: Live | undefined;
  #loop: Promise<void> = Promise.resolve();
  /** Of the last connection. */
  #serverId: string | undefined;
  #repairedMs = 0;

  constructor(options: NatsLinkOptions) {
    this.#options = options;
    this.#servers = options.url.split(',').map((url) => url.trim());
    this.log = options.telemetry.log.for('bus');
    this.timers = options.timers;
    this.state = openState('reconnecting', options.telemetry);
  }

  /** Resolves after the first attempt, whether it succeeded or not; the loop goes on until `close`. */
  open(): Promise<void> {
    return new Promise((resolve) => {
      this.#loop = this.#run(resolve);
    });
  }

  get nc(): NatsConnection | undefined {
    return this.#live?.nc;
  }

  /** The connection, for what cannot wait; throws `unavailable`. */
  connected(): NatsConnection {
    if (this.#live === undefined) throw connectionLost();
    return this.#live.nc;
  }

  /** Calls back now, if there is a connection, and with every later one. */
  eachConnection(attach: (nc: NatsConnection) => void): Disposable {
    this.#attachments.add(attach);
    if (this.#live !== undefined) attach(this.#live.nc);
    return { [Symbol.dispose]: () => void this.#attachments.delete(attach) };
  }

  onLoss(lost: () => void): void {
    this.#losses.add(lost);
  }

  /** Throws `unavailable` without a connection or over the outbound bound; `payload_too_large` over the server's limit. */
  send(message: Outgoing, urgency: Urgency = 'now'): void {
    if (this.#live === undefined) throw connectionLost();
    this.#live.send(message, urgency);
  }

  /** Resolves when the server has seen all that was sent; throws `unavailable` after a few seconds without a sign. */
  async flush(): Promise<void> {
    const live = this.#live;
    if (live === undefined) throw connectionLost();
    if (!(await this.within(FLUSH_WAIT_MS, live.flush()))) throw connectionLost();
  }

  /** Resolves when what a server lost that was started anew has been written again; at once for any other (L4). */
  async repaired(): Promise<void> {
    const leftMs = this.#repairedMs - this.timers.clock.nowMs();
    if (leftMs > 0) await this.timers.sleep(leftMs, this.#closing.signal).catch(() => undefined);
  }

  /** Whether the work ended well within the time; what it does later is ignored. */
  within(ms: number, work: Promise<unknown>): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.timers.after(ms, () => resolve(false));
      const end = (isGood: boolean) => (): void => {
        timer.cancel();
        resolve(isGood);
      };
      work.then(end(true), end(false));
    });
  }

  /** Waits before attempt number `failures`, with full jitter, at most one second; ends early when the link closes. */
  async backOff(failures: number): Promise<void> {
    const ms = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** Math.min(failures, 10));
    await this.timers.sleep((this.#options.random ?? Math.random)() * ms, this.#closing.signal).catch(() => undefined);
  }

  get isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#live?.nc.close();
    await this.#loop;
    this.state.set('closed');
  }

  async #run(tried: () => void): Promise<void> {
    let failures = 0;
    for (let turn = 0; !this.isClosing; turn++) {
      const server = this.#servers[turn % this.#servers.length] ?? '';
      // eslint-disable-next-line no-await-in-loop -- one connection after the other
      const nc = await this.#dial(server, failures);
      if (nc === undefined) failures++;
      else {
        failures = 0;
        // eslint-disable-next-line no-await-in-loop -- as above
        await this.#hold(nc, tried);
      }
      tried();
      // eslint-disable-next-line no-await-in-loop -- as above
      if (!this.isClosing) await this.backOff(failures);
    }
  }

  async #dial(server: string, failures: number): Promise<NatsConnection | undefined> {
    const { name } = this.#options;
    const creds = this.#options.creds?.();
    const options: ConnectionOptions = {
      servers: server,
      name,
      reconnect: false,
      ignoreClusterUpdates: true,
      timeout: DIAL_MS,
      noAsyncTraces: true,
      ...(server.startsWith('tls://') ? { tls: {} } : {}),
      // The reader of credentials wants a last line that ends, and secrets come without.
      ...(creds === undefined ? {} : { authenticator: credsAuthenticator(new TextEncoder().encode(`${creds}\n`)) }),
    };
    try {
      if (!(await greets(server, DIAL_MS))) throw new BeamlineError('unavailable', 'no server answers');
      if (this.isClosing) return undefined;
      return await connect(options);
    } catch (fault) {
      const level = failures === 0 ? 'warn' : 'debug';
      this.log[level]('bus_connect_failed', { url: server, fault });
      return undefined;
    }
  }

  /** Keeps the connection until it ends. */
  async #hold(nc: NatsConnection, connected: () => void): Promise<void> {
    if (this.isClosing) return nc.close();
    const live = new Live(nc, this.#options.outboundBytesMax ?? OUTBOUND_BYTES_MAX, this.timers, this.log);
    this.#live = live;
    this.#noteServer(nc);
    for (const attach of this.#attachments) attach(nc);
    this.log.info('bus_connected', { url: nc.getServer() });
    this.state.set('connected');
    connected();
    const beat = setInterval(() => {
      if (live.silentMs >= SILENCE_MS) void nc.close();
      else void live.flush().catch(() => undefined);
    }, BEAT_MS);
    void this.#reportErrors(nc);
    const fault = await nc.closed();
    clearInterval(beat);
    this.#live = undefined;
    for (const lost of this.#losses) lost();
    if (this.isClosing) return;
    this.log.warn('bus_connection_lost', { fault: fault ?? 'closed' });
    this.state.set('reconnecting');
  }

  #noteServer({ info }: NatsConnection): void {
    const isAnew = this.#serverId !== undefined && this.#serverId !== info?.server_id;
    this.#serverId = info?.server_id;
    if (isAnew && info?.cluster === undefined) this.#repairedMs = this.timers.clock.nowMs() + REPAIRED_MS;
  }

  /** What the server complains about, such as a subject that it does not permit. */
  async #reportErrors(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) {
      if (status.type === 'error') this.log.warn('bus_server_error', { fault: status.error });
    }
  }
}
