// Words for a value of the wrong type: what it must be, what it is, and what YAML makes of quotes.

const NUMERAL = /^-?\d+(?:\.\d+)?$/;

export function mustBe(what: string, value: unknown): string {
  const quotes = quotesFor(what, value);
  return `must be ${what}, and is ${kindOf(value)}${quotes === undefined ? '' : `: write it ${quotes} quotes`}`;
}

function quotesFor(what: string, value: unknown): 'in' | 'without' | undefined {
  if (what === 'a text') return typeof value === 'number' || typeof value === 'boolean' ? 'in' : undefined;
  if (typeof value !== 'string') return undefined;
  const isMeant = what === 'true or false' ? value === 'true' || value === 'false' : NUMERAL.test(value);
  return isMeant ? 'without' : undefined;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'a text';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a number';
  return typeof value === 'object' ? 'an object' : String(value as boolean);
}
