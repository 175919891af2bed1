// The effective price book: the configuration's lines, and over them those of the operator's document, which stands in a
// bucket where every ledger sees it (worker 14.2).
// P1. A document is archived under its version before rows are priced by it; one that cannot be is not used.
// P2. Nothing is priced before the document was looked for: `loaded` tells.
import { configVersion, openPriceBook, type PriceBook, type PriceLine } from '../catalog/price-book.ts';
import { parsePriceDocument, type PriceDocument } from '../catalog/price-document.ts';
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { priceBucket, priceKey } from '../contracts/ledger.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';
import type { Schema } from './ledger-schema.ts';
import { archivePrices, assertUnchanged } from './price-archive.ts';

const AGAIN_MS = 2_000;

export interface PriceKeeperDeps {
  readonly bus: Bus;
  readonly store: SqlStore;
  readonly schema: Schema;
  readonly timers: Timers;
  readonly log: Log;
  /** The configuration's. */
  readonly lines: readonly PriceLine[];
}

export interface ActivePrices {
  readonly version: string;
  /** Of the document, for compare-and-set; 0 while there is none. */
  readonly revision: number;
  readonly lines: readonly PriceLine[];
  readonly book: PriceBook;
}

export class PriceKeeper implements AsyncDisposable {
  readonly #deps: PriceKeeperDeps;
  readonly #bucket: KeyValue;
  readonly #base: readonly PriceLine[];
  readonly #baseVersion: string;
  readonly #closing = new AbortController();
  readonly #loaded = Promise.withResolvers<void>();
  #isLoaded = false;
  #watching: Promise<void> = Promise.resolve();
  #active: ActivePrices;

  private constructor(deps: PriceKeeperDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
    this.#baseVersion = configVersion(deps.lines);
    this.#base = deps.lines.map((line) => ({ ...line, version: this.#baseVersion }));
    this.#active = this.#activeOf(undefined, 0);
  }

  /** Opens with the configuration's prices; looks for the document once before it resolves, then again and again. */
  static async open(deps: PriceKeeperDeps): Promise<PriceKeeper> {
    const keeper = new PriceKeeper(deps, await deps.bus.openBucket(priceBucket));
    if (deps.schema.isThere) await keeper.#load();
    keeper.#watching = keeper.#follow();
    return keeper;
  }

  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get loaded(): Promise<void> {
    return this.#loaded.promise;
  }

  get active(): ActivePrices {
    return this.#active;
  }

  /**
   * Replaces the document; `revision` 0 means that there must be none. Throws `validation_failed` with the issues, `conflict` for
   * a version that exists with other lines, `precondition_failed`, `unavailable`.
   */
  async put(document: unknown, revision: number): Promise<ActivePrices> {
    const parsed = parsePriceDocument(document);
    if (parsed.kind === 'invalid') {
      const errors = parsed.issues.map(({ path, message }) => ({ path, code: 'invalid', message }));
      throw new BeamlineError('validation_failed', 'the price document has faults', { details: { errors } });
    }
    await assertUnchanged(this.#deps.store, parsed.document.version, parsed.document.lines);
    const next = await this.#bucket.update(priceKey, JSON.stringify(document), revision);
    await this.#use(parsed.document, next);
    return this.#active;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#watching;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closing;
    const { schema, timers, log } = this.#deps;
    await Promise.race([schema.there, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
    while (!signal.aborted) {
      try {
        // eslint-disable-next-line no-await-in-loop -- tries come one after the other
        if (this.#isLoaded || (await this.#load())) {
          // eslint-disable-next-line no-await-in-loop -- as above
          for await (const entry of this.#bucket.watch(signal)) await this.#heard(entry);
        }
      } catch (fault) {
        if (!signal.aborted) log.warn('price_watch_failed', { fault });
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      if (!signal.aborted) await timers.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  /** False while the bus or the database is away. */
  async #load(): Promise<boolean> {
    try {
      await archivePrices(this.#deps.store, this.#baseVersion, this.#base);
      const entry = await this.#bucket.get(priceKey);
      if (entry !== undefined) await this.#heard(entry);
      this.#isLoaded = true;
      this.#loaded.resolve();
    } catch (fault) {
      this.#deps.log.warn('prices_not_loaded', { fault });
    }
    return this.#isLoaded;
  }

  async #heard(entry: Entry): Promise<void> {
    if (entry.key !== priceKey || entry.revision <= this.#active.revision) return;
    if (entry.deleted) {
      this.#active = this.#activeOf(undefined, entry.revision);
      return;
    }
    const parsed = parsePriceDocument(parseJson(entry.value));
    if (parsed.kind === 'valid') return this.#use(parsed.document, entry.revision);
    this.#deps.log.error('price_document_invalid', { revision: entry.revision });
  }

  async #use(document: PriceDocument, revision: number): Promise<void> {
    await archivePrices(this.#deps.store, document.version, document.lines);
    if (revision < this.#active.revision) return;
    this.#active = this.#activeOf(document, revision);
    this.#deps.log.info('prices_changed', { revision, count: document.lines.length });
  }

  #activeOf(document: PriceDocument | undefined, revision: number): ActivePrices {
    const lines = [...this.#base, ...(document?.lines ?? [])];
    return { version: document?.version ?? this.#baseVersion, revision, lines, book: openPriceBook(lines) };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
