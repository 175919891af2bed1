// The prices of a process that tells costs before the ledger counts them: the configuration's lines, and over them those
// of the operator's document as it stands in its bucket (worker 14.2). The ledger's own number wins.
import { openPriceBook, type PriceBook, type PriceLine, priceLines } from '../catalog/price-book.ts';
import { type CeilingOf, openPriceCeiling } from '../catalog/price-ceiling.ts';
import { parsePriceDocument } from '../catalog/price-document.ts';
import type { Bus, Entry } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import { priceBucket, priceKey } from '../contracts/ledger.ts';
import type { Log } from '../telemetry/log.ts';
import type { Ground } from './ground.ts';

/** Without a moment everything is priced as of now: a line of tomorrow is not in force. */
export interface LivePrices extends PriceBook, AsyncDisposable {
  readonly ceilingOf: CeilingOf;
}

/** Opens with the configuration's, and the document's where it can be read at once; then it follows every change. */
export async function openLivePrices({ config, timers }: Ground, bus: Bus, log: Log): Promise<LivePrices> {
  const base = priceLines(config.providers.list);
  const bucket = await bus.openBucket(priceBucket);
  const closing = new AbortController();
  let { book, ceilingOf } = openedOf(base);
  let revision = 0;

  const hear = (entry: Entry): void => {
    if (entry.key !== priceKey || entry.revision <= revision) return;
    const lines = entry.deleted ? [] : linesIn(entry.value);
    if (lines === undefined) return log.error('price_document_invalid', { revision: entry.revision });
    revision = entry.revision;
    ({ book, ceilingOf } = openedOf([...base, ...lines]));
    log.info('prices_changed', { revision, count: lines.length });
  };
  const found = await bucket.get(priceKey).catch(() => undefined);
  if (found !== undefined) hear(found);
  // What was read last holds until more is known.
  const following = followBucket({
    bucket,
    signal: closing.signal,
    timers,
    log,
    unwatched: 'price_watch_failed',
    hear,
  });

  const now = (): number => timers.clock.epochMs();
  return {
    lineOf: (providerId, model, atMs = now()) => book.lineOf(providerId, model, atMs),
    costOf: (providerId, model, usage, atMs = now()) => book.costOf(providerId, model, usage, atMs),
    ceilingOf: (model, providers) => ceilingOf(model, providers),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await following;
    },
  };
}

const openedOf = (lines: readonly PriceLine[]): { readonly book: PriceBook; readonly ceilingOf: CeilingOf } => ({
  book: openPriceBook(lines),
  ceilingOf: openPriceCeiling(lines),
});

function linesIn(text: string): readonly PriceLine[] | undefined {
  try {
    const parsed = parsePriceDocument(JSON.parse(text));
    return parsed.kind === 'valid' ? parsed.document.lines : undefined;
  } catch {
    return undefined;
  }
}
