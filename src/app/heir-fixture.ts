// What the tests of the policy store's client share: a small store behind real HTTP, and a source with a clock by hand.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../config/read.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { digestOf } from '../router/policy-record.ts';
import type { PolicyListener, PolicyRecord, PolicySource } from '../router/policy-source.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openHeirSource } from './policy-heir.ts';

/** Answers one request in its own way; false leaves it to the store. */
export type Quirk = (request: IncomingMessage, response: ServerResponse, body: string) => boolean;

export const answer = (response: ServerResponse, status: number, body?: unknown, headers: object = {}): true => {
  response.writeHead(status, { ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
  return true;
};

export class FakeHeir implements AsyncDisposable {
  readonly records = new Map<string, PolicyRecord>();
  /** `GET /path?query`, in order of arrival. */
  readonly seen: string[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  /** The most requests that one resource had in flight. */
  inFlightMax = 0;
  quirk: Quirk = () => false;
  pageItems = 100;
  revision = 0;
  readonly #inFlight = new Map<string, number>();
  readonly #server: Server;

  constructor(tls?: ServerOptions) {
    const serve = (request: IncomingMessage, response: ServerResponse): void => this.#serve(request, response);
    this.#server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
  }

  /** The port; 0 takes a free one. */
  listen(port = 0): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  write(policyId: string, policy: unknown, tenantId = 't1'): PolicyRecord {
    const record = {
      tenant_id: tenantId,
      policy_id: policyId,
      revision: ++this.revision,
      policy,
      digest: digestOf(policy),
      updated_at_ms: 1,
      updated_by: 'store',
      deleted: policy === null,
    };
    this.records.set(`${tenantId}/${policyId}`, record);
    return record;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? '';
    const resource = url.split('?')[0] ?? '';
    const running = (this.#inFlight.get(resource) ?? 0) + 1;
    this.#inFlight.set(resource, running);
    this.inFlightMax = Math.max(this.inFlightMax, running);
    response.once('close', () => this.#inFlight.set(resource, (this.#inFlight.get(resource) ?? 1) - 1));
    this.seen.push(`${request.method} ${url}`);
    this.headers.push(request.headers);
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      if (!this.quirk(request, response, body)) this.#answer(request, response, body);
    });
  }

  #answer({ method, url = '', headers }: IncomingMessage, response: ServerResponse, body: string): void {
    const { pathname, searchParams } = new URL(url, 'http://store');
    if (pathname === '/api/v1/policies') {
      answer(response, 200, this.#feed(searchParams));
      return;
    }
    const [tenantId = '', policyId = '', versions] = pathname.split('/').slice(4);
    const held = this.records.get(`${tenantId}/${policyId}`);
    const found = held?.deleted === false ? held : undefined;
    if (versions !== undefined) {
      const item = { revision: held?.revision, updated_at_ms: 1, updated_by: 'store' };
      if (pathname.endsWith('/versions')) answer(response, 200, page([item]));
      else answer(response, 200, held);
    } else if (method === 'GET') {
      if (found === undefined) answer(response, 404, {});
      else answer(response, 200, found, { etag: `"${found.revision}"` });
    } else if (isMismatch(headers, found)) answer(response, 412, {});
    else if (method === 'PUT') {
      const { revision } = this.write(policyId, JSON.parse(body), tenantId);
      answer(response, found === undefined ? 201 : 200, { revision });
    } else if (found === undefined) answer(response, 404, {});
    else {
      this.write(policyId, null, tenantId);
      answer(response, 204);
    }
  }

  #feed(query: URLSearchParams) {
    const since = Number(query.get('since'));
    const from = Number(query.get('cursor') ?? 0);
    const all = [...this.records.values()].filter(({ revision }) => revision > since);
    const data = all.slice(from, from + this.pageItems);
    const next = from + data.length;
    return { ...page(data, next < all.length ? String(next) : null), revision: this.revision };
  }
}

export const page = (data: readonly unknown[], next_cursor: string | null = null) => ({
  data,
  pagination: { limit: 100, next_cursor, has_more: next_cursor !== null },
});

function isMismatch(headers: IncomingMessage['headers'], found: PolicyRecord | undefined): boolean {
  const match = headers['if-match'];
  return (
    (match !== undefined && match !== `"${found?.revision}"`) ||
    (headers['if-none-match'] === '*' && found !== undefined)
  );
}

/** Keeps what it hears as short texts: `all a@1 b@2`, `changed a@3`, `changed a@4 deleted`, `unreachable timeout`. */
export class Heard implements PolicyListener {
  readonly texts: string[] = [];

  all(records: readonly PolicyRecord[]): void {
    this.texts.push(['all', ...records.map(short).toSorted()].join(' '));
  }

  changed(record: PolicyRecord): void {
    this.texts.push(`changed ${short(record)}`);
  }

  unreachable(fault: unknown): void {
    this.texts.push(`unreachable ${String(reasonOf(fault))}`);
  }

  get last(): string | undefined {
    return this.texts.at(-1);
  }
}

const short = ({ policy_id, revision, deleted }: PolicyRecord): string =>
  `${policy_id}@${revision}${deleted ? ' deleted' : ''}`;

export const reasonOf = (fault: unknown): unknown =>
  (fault as { details?: { reason?: unknown } } | undefined)?.details?.reason;

export interface Bench extends AsyncDisposable {
  readonly source: PolicySource;
  readonly heard: Heard;
  readonly clock: ManualClock;
  readonly logged: string[];
  /** Moves the clock by steps until something holds. Requests have an hour unless the test says otherwise. */
  readonly passUntil: (what: string, holds: () => unknown, stepMs?: number) => Promise<void>;
  /** The end of a promise, whichever, while time passes. */
  readonly settled: <T>(promise: Promise<T>, stepMs?: number) => Promise<PromiseSettledResult<T>>;
}

const PATIENT = { heir_policy_store_timeout: 7_200_000, heir_policy_store_request_timeout: 3_600_000 };
const LONG_MS = 15_000;

export function openBench(url: string, settings: Readonly<Record<string, unknown>> = {}): Bench {
  const { config } = readConfig({ env: {}, flags: { heir_policy_store_url: url, ...PATIENT, ...settings } });
  const clock = new ManualClock(1_700_000_000_000);
  const timers = new Timers(clock, { tickMs: 5 });
  const logged: string[] = [];
  const log = openLog('debug', { write: (line) => logged.push(line) });
  const source = openHeirSource(config, { timers, telemetry: { log, metrics: new Metrics() }, random: () => 0.5 });
  const passUntil = async (what: string, holds: () => unknown, stepMs = 10): Promise<void> => {
    const untilMs = performance.now() + LONG_MS;
    while (holds() !== true) {
      if (performance.now() > untilMs) throw new Error(`waited too long for ${what}`);
      clock.advance(stepMs);
      timers.tick();
      // eslint-disable-next-line no-await-in-loop -- waits for a condition
      await sleep(2);
    }
  };
  return {
    source,
    heard: new Heard(),
    clock,
    logged,
    passUntil,
    async settled(promise, stepMs) {
      let isOver = false;
      const ends = Promise.allSettled([promise]).finally(() => (isOver = true));
      await passUntil('a promise to settle', () => isOver, stepMs);
      return (await ends)[0];
    },
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}
