// The operator's price document: lines that override those of the configuration, one by one (worker 14.2).
import { type PriceLine, PRICE_KINDS, type Prices } from './price-book.ts';

export interface PriceIssue {
  /** JSON Pointer into the document. */
  readonly path: string;
  readonly message: string;
}

export interface PriceDocument {
  readonly version: string;
  readonly lines: readonly PriceLine[];
}

type Parsed =
  | { readonly kind: 'valid'; readonly document: PriceDocument }
  | { readonly kind: 'invalid'; readonly issues: readonly PriceIssue[] };

const LINES_MAX = 4_000;
const ISSUES_MAX = 50;
const PRICE_MAX = 1_000_000_000_000;
const VERSION = /^(?!config-)[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const ID = /^[\x21-\x7e]{1,128}$/;
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z$/;
const DOCUMENT_KEYS = new Set(['version', 'currency', 'lines']);
const LINE_KEYS: ReadonlySet<string> = new Set(['provider', 'model', 'effective_from', ...PRICE_KINDS]);

type Open = Readonly<Record<string, unknown>>;

/** Everything that is wrong is told, unknown members too: a price that is not read is money. */
export function parsePriceDocument(value: unknown): Parsed {
  const issues: PriceIssue[] = [];
  const tell = (path: string, message: string): void =>
    void (issues.length < ISSUES_MAX && issues.push({ path, message }));
  if (!isOpen(value)) return { kind: 'invalid', issues: [{ path: '', message: 'must be an object' }] };
  for (const key of Object.keys(value)) if (!DOCUMENT_KEYS.has(key)) tell(`/${key}`, 'is not known');
  const { version, currency, lines } = value;
  if (typeof version !== 'string' || !VERSION.test(version)) {
    tell('/version', 'must be 1 to 64 characters, and may not begin with config-');
  }
  if (currency !== undefined && currency !== 'USD') tell('/currency', 'must be USD');
  if (!Array.isArray(lines) || lines.length > LINES_MAX) {
    tell('/lines', `must be a list of at most ${LINES_MAX} lines`);
  }
  const parsed = (Array.isArray(lines) ? lines.slice(0, LINES_MAX) : []).flatMap((line: unknown, index) =>
    lineOf(line, String(version), (path, message) => tell(`/lines/${index}${path}`, message)),
  );
  tellRepeats(parsed, tell);
  if (issues.length > 0) return { kind: 'invalid', issues };
  return { kind: 'valid', document: { version: String(version), lines: parsed } };
}

type Tell = (path: string, message: string) => void;

function lineOf(line: unknown, version: string, tell: Tell): readonly PriceLine[] {
  if (!isOpen(line)) {
    tell('', 'must be an object');
    return [];
  }
  for (const key of Object.keys(line)) if (!LINE_KEYS.has(key)) tell(`/${key}`, 'is not known');
  const { provider, model, effective_from: from } = line;
  if (typeof provider !== 'string' || !ID.test(provider)) tell('/provider', 'must be the id of a provider');
  if (typeof model !== 'string' || model.length === 0 || model.length > 256) tell('/model', 'must name a model');
  const effectiveFromMs = typeof from === 'string' && MOMENT.test(from) ? Date.parse(from) : Number.NaN;
  if (Number.isNaN(effectiveFromMs)) tell('/effective_from', 'must be a moment in UTC, as 2026-11-01T00:00:00Z');
  const prices = pricesOf(line, tell);
  if (Object.keys(prices).length === 0) tell('', 'has no price');
  // Blocks have no tokens.
  const whole: Prices = { input: 0, output: 0, ...prices };
  return [{ provider: String(provider), model: String(model), effectiveFromMs, prices: whole, version }];
}

function pricesOf(line: Open, tell: Tell): Partial<Prices> {
  const given = PRICE_KINDS.filter((kind) => line[kind] !== undefined);
  for (const kind of given) {
    const price = line[kind];
    if (!Number.isInteger(price) || Number(price) < 0 || Number(price) > PRICE_MAX) {
      tell(`/${kind}`, `must be an integer from 0 to ${PRICE_MAX}, in micro-USD`);
    }
  }
  return Object.fromEntries(given.map((kind) => [kind, Number(line[kind])]));
}

function tellRepeats(lines: readonly PriceLine[], tell: Tell): void {
  const seen = new Set<string>();
  for (const [index, { provider, model, effectiveFromMs }] of lines.entries()) {
    const key = JSON.stringify([provider, model, effectiveFromMs]);
    if (seen.has(key)) tell(`/lines/${index}`, 'repeats an earlier line');
    seen.add(key);
  }
}

const isOpen = (value: unknown): value is Open => typeof value === 'object' && value !== null && !Array.isArray(value);
