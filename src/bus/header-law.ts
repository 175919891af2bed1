// What must be true of a message's headers when it enters (contracts 1.4), found in one pass over their bytes.
// L1. A message that is in order costs no allocation: names and values are compared where they lie.
// L2. Sets of v1 require nothing; but two different tenants are never let in, whatever the set.
import { HEADER_SETS, type HeaderSet } from '../contracts/headers.ts';
import { ID_BYTES_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import { headersSent, type Origin } from './sent-headers.ts';

export type HeaderRule = 'missing_header' | 'header_twice' | 'version' | 'tenant_mismatch';

const INTAKE: Readonly<Record<HeaderRule, string>> = {
  missing_header: 'CORRELATION_FIELDS_INVALID',
  header_twice: 'CORRELATION_FIELDS_INVALID',
  version: 'VERSION_UNSUPPORTED',
  tenant_mismatch: 'CORRELATION_FIELDS_INVALID',
};

const TEXTS: Readonly<Record<HeaderRule, string>> = {
  missing_header: 'a required header is missing',
  header_twice: 'a header is there twice, with two values',
  version: 'the contract version of the headers is not v2',
  tenant_mismatch: 'header and payload name different tenants',
};

export const headerFault = (rule: HeaderRule): BeamlineError =>
  new BeamlineError('invalid_request', TEXTS[rule], { details: { reason: rule, intake: INTAKE[rule] } });

/** Everything that some set requires, and the tenant of v1; the place in the list is the place of the value. */
const NAMES: readonly string[] = [
  ...new Set([...Object.values(HEADER_SETS).flatMap(({ required }): readonly string[] => required), 'tenant_id']),
];
const BY_LENGTH: readonly (readonly { readonly name: Uint8Array; readonly slot: number }[])[] = Array.from(
  { length: Math.max(...NAMES.map(({ length }) => length)) + 1 },
  (_, length) =>
    NAMES.flatMap((name, slot) => (name.length === length ? [{ name: new TextEncoder().encode(name), slot }] : [])),
);
const TENANTS = ['x_tenant_id', 'tenant_id'].map((name) => NAMES.indexOf(name));
/** Those that readers take for ids, or for nothing. */
const IDS = new Set(['x_trace_id', 'x_tenant_id'].map((name) => NAMES.indexOf(name)));
const VERSION = NAMES.indexOf('x_contract_version');
const V2 = 'v2';
const NO_TENANT = '-';

const LF = 10;
const CR = 13;
const SPACE = 32;
const DASH = 45;
const UNDERSCORE = 95;
const COLON = 58;

/** The check of one subscription, which must not be entered twice at a time: it notes what it finds in one place. */
export function headerCheck(set: HeaderSet | undefined): HeaderCheck {
  const required: readonly string[] = set === undefined ? [] : HEADER_SETS[set].required;
  return new HeaderCheck(required.map((name) => NAMES.indexOf(name)));
}

export class HeaderCheck {
  readonly #required: readonly number[];
  readonly #starts = new Int32Array(NAMES.length);
  readonly #ends = new Int32Array(NAMES.length);
  #isTwice = false;

  constructor(required: readonly number[]) {
    this.#required = required;
  }

  /** The rule that a message breaks; `end` is where its headers end, `tenantId` what its payload says. */
  broken(bytes: Uint8Array, end: number, tenantId: unknown): HeaderRule | undefined {
    const named = typeof tenantId === 'string' ? tenantId : undefined;
    if (this.#required.length === 0 && named === undefined) return undefined;
    this.#scan(bytes, end);
    if (this.#isTwice) return 'header_twice';
    for (const slot of this.#required) if (this.#isMissing(bytes, slot)) return 'missing_header';
    if (this.#required.includes(VERSION) && !this.#is(bytes, VERSION, V2)) return 'version';
    if (named === undefined) return undefined;
    for (const slot of TENANTS) if (this.#names(bytes, slot, named)) return 'tenant_mismatch';
    return undefined;
  }

  #scan(bytes: Uint8Array, end: number): void {
    this.#starts.fill(-1);
    this.#isTwice = false;
    let at = lineEnd(bytes, 0, end) + 1;
    while (at < end) {
      const next = lineEnd(bytes, at, end);
      this.#note(bytes, at, bytes[next - 1] === CR ? next - 1 : next);
      at = next + 1;
    }
  }

  #note(bytes: Uint8Array, from: number, to: number): void {
    let colon = from;
    while (colon < to && bytes[colon] !== COLON) colon++;
    const slot = slotOf(bytes, from, colon);
    if (slot < 0) return;
    let start = colon + 1;
    let end = to;
    while (start < end && bytes[start] === SPACE) start++;
    while (end > start && bytes[end - 1] === SPACE) end--;
    if (this.#has(slot) && !this.#isSame(bytes, slot, start, end)) this.#isTwice = true;
    this.#starts[slot] = start;
    this.#ends[slot] = end;
  }

  #has(slot: number): boolean {
    return (this.#starts[slot] ?? -1) >= 0;
  }

  #isSame(bytes: Uint8Array, slot: number, start: number, end: number): boolean {
    const known = this.#starts[slot] ?? 0;
    if ((this.#ends[slot] ?? 0) - known !== end - start) return false;
    for (let n = 0; n < end - start; n++) if (bytes[known + n] !== bytes[start + n]) return false;
    return true;
  }

  /** Absent, empty, or no id: what a reader would not get either. */
  #isMissing(bytes: Uint8Array, slot: number): boolean {
    if (!this.#has(slot)) return true;
    const start = this.#starts[slot] ?? 0;
    const end = this.#ends[slot] ?? 0;
    if (end === start) return true;
    if (!IDS.has(slot)) return false;
    if (end - start > ID_BYTES_MAX) return true;
    for (let at = start; at < end; at++) if (!isPrintable(bytes[at] ?? 0)) return true;
    return false;
  }

  #is(bytes: Uint8Array, slot: number, text: string): boolean {
    const start = this.#starts[slot] ?? 0;
    if ((this.#ends[slot] ?? 0) - start !== text.length) return false;
    for (let n = 0; n < text.length; n++) if (bytes[start + n] !== text.charCodeAt(n)) return false;
    return true;
  }

  /** Whether it names another tenant; `-` names none. */
  #names(bytes: Uint8Array, slot: number, tenantId: string): boolean {
    return this.#has(slot) && !this.#is(bytes, slot, NO_TENANT) && !this.#is(bytes, slot, tenantId);
  }
}

const isPrintable = (byte: number): boolean => byte > SPACE && byte < 127;

function lineEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] !== LF) at++;
  return at;
}

/** Names compare without case, and `-` counts as `_`; -1 for a name that nobody asks for. */
function slotOf(bytes: Uint8Array, from: number, to: number): number {
  for (const { name, slot } of BY_LENGTH[to - from] ?? []) if (isName(bytes, from, name)) return slot;
  return -1;
}

function isName(bytes: Uint8Array, from: number, name: Uint8Array): boolean {
  for (let n = 0; n < name.length; n++) {
    const byte = bytes[from + n] ?? 0;
    const folded = byte === DASH ? UNDERSCORE : byte > 64 && byte < 91 ? byte + 32 : byte;
    if (folded !== name[n]) return false;
  }
  return true;
}

/** What a payload says; every message is an object, but nobody has checked one that is read from a stream. */
export const tenantOf = (message: unknown): unknown =>
  (message as { readonly tenant_id?: unknown } | undefined)?.tenant_id;

/** Whether payload and header name two tenants. */
export const isOfAnother = (ours: unknown, theirs: string | undefined): boolean =>
  typeof ours === 'string' && theirs !== undefined && theirs !== ours && theirs !== NO_TENANT;

interface SentMessage {
  /** Undefined where its headers are all that is known. */
  readonly contract: { readonly headers: HeaderSet } | undefined;
  readonly origin: Origin;
  readonly message: unknown;
}

/** The same for a message that never was bytes: what came with it is its headers. */
export function brokenBySent(
  set: HeaderSet | undefined,
  { contract, origin, message }: SentMessage,
): HeaderRule | undefined {
  const { correlation, headers } = origin;
  const theirs = correlation?.tenantId ?? headers?.['x_tenant_id'] ?? headers?.['tenant_id'];
  if (isOfAnother(tenantOf(message), theirs)) return 'tenant_mismatch';
  const required: readonly string[] = set === undefined ? [] : HEADER_SETS[set].required;
  if (required.length === 0) return undefined;
  const sent = headersSent(contract?.headers, origin);
  return required.every((name) => sent[name] !== undefined) ? undefined : 'missing_header';
}
