// Follows the change feed of the policy store (policy 12.2): the full list first and after every failure, changes between.
// F1. What is told to the listener comes from complete answers: a list with one broken page tells nothing.
// F2. One reading runs at a time; the next is planned when it is over, a poll later, give or take a tenth.
// F3. The next look starts where the first page of this one stood: what changed between the pages is read again.
// F4. A write of ours that the store confirmed while a list was read stands beside that list: the list may be older.
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { PolicyListener, PolicyRecord } from '../router/policy-source.ts';
import type { Log } from '../telemetry/log.ts';
import { unavailable } from './heir-answer.ts';
import { type HeirClient, spread } from './heir-client.ts';
import { readFeedRevision, readPage, readRecord } from './heir-page.ts';

export interface FeedOptions {
  readonly client: HeirClient;
  readonly listener: PolicyListener;
  readonly pollMs: number;
  readonly timers: Timers;
  readonly log: Log;
  readonly random: () => number;
}

const PATH = '/api/v1/policies';
const PAGE_ITEMS = 100;
const PAGES_MAX = 2000;
const LIST_BYTES_MAX = 536_870_912;

interface Listing {
  readonly records: readonly PolicyRecord[];
  readonly revision: number;
}

/** `lost`: the full list is next. */
type Position = { readonly kind: 'lost' } | { readonly kind: 'at'; readonly revision: number };

export class HeirFeed implements AsyncDisposable {
  readonly #options: FeedOptions;
  /** What was confirmed during the reading that runs. */
  readonly #written = new Map<string, PolicyRecord>();
  #position: Position = { kind: 'lost' };
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Reads now; resolves after that, whether it succeeded or not. */
  start(): Promise<void> {
    this.#running = this.#round();
    return this.#running;
  }

  /** The store has confirmed this record, so it is in reach. */
  wrote(record: PolicyRecord): void {
    if (this.#isClosed) return;
    if (this.#position.kind === 'at') this.#options.listener.changed(record);
    if (this.#running !== undefined) keepNewest(this.#written, record);
    else if (this.#position.kind === 'lost') this.#plan(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  async #round(): Promise<void> {
    let waitMs = this.#options.pollMs * spread(this.#options.random());
    this.#written.clear();
    try {
      await this.#read();
    } catch (fault) {
      const error = BeamlineError.from(fault);
      this.#position = { kind: 'lost' };
      waitMs = Math.max(waitMs, error.retryAfterMs ?? 0);
      if (!this.#isClosed) this.#options.listener.unreachable(error);
    }
    this.#running = undefined;
    if (!this.#isClosed) this.#plan(waitMs);
  }

  #plan(waitMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.timers.after(waitMs, () => {
      this.#running = this.#round();
    });
  }

  async #read(): Promise<void> {
    const { listener, log } = this.#options;
    if (this.#position.kind === 'at') {
      const since = this.#position.revision;
      const changes = await this.#list(since);
      if (this.#isClosed) return;
      // A store that stands behind what it said before was put back: only its full list is true.
      if (changes !== 'too_old' && changes.revision >= since) {
        for (const record of changes.records) listener.changed(record);
        this.#position = { kind: 'at', revision: changes.revision };
        return;
      }
      log.info('heir_policy_store_relisted', { state: changes === 'too_old' ? 'too_old' : 'behind' });
    }
    const list = await this.#list(0);
    if (list === 'too_old') throw unavailable('unexpected_status', { status: 410 });
    if (this.#isClosed) return;
    const records = new Map(list.records.map((record) => [keyOf(record), record]));
    for (const record of this.#written.values()) keepNewest(records, record);
    listener.all([...records.values()]);
    this.#position = { kind: 'at', revision: list.revision };
  }

  /** Everything that changed after `since`; one record per policy, its newest. */
  async #list(since: number): Promise<Listing | 'too_old'> {
    const records = new Map<string, PolicyRecord>();
    const cursors = new Set<string>();
    let revision: number | undefined;
    let cursor: string | undefined;
    let bytesLeft = LIST_BYTES_MAX;
    do {
      // eslint-disable-next-line no-await-in-loop -- each page names the next one
      const { status, body, bytes } = await this.#page(since, cursor);
      if (status === 410) return 'too_old';
      if (status !== 200) throw unavailable('unexpected_status', { status });
      const page = readPage(body);
      const pageRevision = readFeedRevision(body);
      revision ??= pageRevision;
      for (const item of page.items) keepNewest(records, readRecord(item));
      bytesLeft -= bytes;
      cursor = page.nextCursor;
      if (cursor === undefined) break;
      if (bytesLeft < 0 || cursors.size >= PAGES_MAX) throw unavailable('list_too_long');
      if (cursors.has(cursor)) throw unavailable('cursor_repeats');
      cursors.add(cursor);
    } while (!this.#isClosed);
    return { records: [...records.values()], revision };
  }

  #page(since: number, cursor: string | undefined) {
    const query = new URLSearchParams({ since: String(since), limit: String(PAGE_ITEMS) });
    if (cursor !== undefined) query.set('cursor', cursor);
    return this.#options.client.send({ method: 'GET', path: PATH, query: query.toString() });
  }
}

const keyOf = ({ tenant_id, policy_id }: PolicyRecord): string => `${tenant_id}/${policy_id}`;

function keepNewest(records: Map<string, PolicyRecord>, record: PolicyRecord): void {
  const key = keyOf(record);
  const known = records.get(key);
  if (known === undefined || known.revision < record.revision) records.set(key, record);
}
