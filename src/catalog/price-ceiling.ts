// The most that a request can cost before anybody chose who serves it: the dearest line that it may come to.
import type { PriceLine, Prices } from './price-book.ts';

/** The highest price of each kind; undefined where nothing that may serve has a price. */
export type CeilingOf = (model: string | undefined, providers: readonly string[] | undefined) => Prices | undefined;

export function openPriceCeiling(lines: readonly PriceLine[]): CeilingOf {
  const known = new Map<string, Prices | undefined>();
  const ceiling = (model: string | undefined, providers: readonly string[] | undefined): Prices | undefined => {
    let highest: { input: number; output: number; request: number } | undefined;
    for (const line of lines) {
      if (model !== undefined && line.model !== model) continue;
      if (providers !== undefined && !providers.includes(line.provider)) continue;
      const { input, cache_write = input, output, request = 0 } = line.prices;
      highest = {
        input: Math.max(highest?.input ?? 0, input, cache_write),
        output: Math.max(highest?.output ?? 0, output),
        request: Math.max(highest?.request ?? 0, request),
      };
    }
    return highest;
  };
  const everything = ceiling(undefined, undefined);
  const models = new Set(lines.map(({ model }) => model));
  return (model, providers) => {
    if (providers !== undefined) return ceiling(model, providers);
    // A policy may send a name that no line has; then it may come to any of them.
    if (model === undefined || !models.has(model)) return everything;
    if (!known.has(model)) known.set(model, ceiling(model, undefined));
    return known.get(model);
  };
}
