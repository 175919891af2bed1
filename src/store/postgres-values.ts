// Values of PostgreSQL as a caller gets them in JSON.

const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  float4: 700,
  float8: 701,
  numeric: 1700,
} as const;
const NUMBERS: ReadonlySet<number> = new Set([
  OID.int8,
  OID.int2,
  OID.int4,
  OID.oid,
  OID.float4,
  OID.float8,
  OID.numeric,
]);

/** What JSON cannot hold exactly stays a text, bytes are base64; everything else is as the server writes it. */
export function parserOf(oid: number): (text: string) => unknown {
  if (oid === OID.bool) return (text) => text === 't';
  if (oid === OID.bytea) return (text) => Buffer.from(text.slice(2), 'hex').toString('base64');
  if (NUMBERS.has(oid)) return numberIn;
  return (text) => text;
}

function numberIn(text: string): unknown {
  const number = Number(text);
  const isExact = /^-?\d+$/.test(text) ? Number.isSafeInteger(number) : Number.isFinite(number);
  return isExact && text.length <= EXACT_CHARS ? number : text;
}
/** Digits that a number of JSON surely keeps, with sign and point. */
const EXACT_CHARS = 17;
