// What the contract check judges, all of it read before the first rule runs: the law, its lock, the files beside it, and
// what the code says of itself. Rules are plain functions over this, so each is tested by one wrong piece of it.
import type { FreezeLock } from './freeze-lock.ts';
import type { PayloadRef, Registry } from './registry-shape.ts';

/** A contract as the code has it. */
export interface CodeContract {
  readonly template: string;
  readonly class: string;
  readonly headers: string;
  /** `<id>@<version>` of the message or the request, and of the reply. */
  readonly payload: string;
  readonly reply?: string;
}

export interface CodeStream {
  readonly name: string;
  readonly subject: string;
  readonly retention: string;
  readonly max_age_ms: number;
  readonly max_bytes: number;
  readonly consumers: readonly CodeConsumer[];
}

export interface CodeConsumer {
  readonly durable: string;
  readonly ack_wait_ms: number;
  readonly max_ack_pending: number;
  readonly nak_delays_ms: readonly number[];
  readonly delivery_limit?: number;
}

/** One answer code or execution code: its status or its class, and whether a later try may succeed. */
export type ErrorLine = Readonly<Record<string, string | number | boolean>>;

export interface ErrorTables {
  readonly answers: Readonly<Record<string, ErrorLine>>;
  readonly executions: Readonly<Record<string, ErrorLine>>;
}

export interface CodeFacts {
  readonly contracts: readonly CodeContract[];
  readonly headerSets: Registry['header_sets'];
  readonly streams: readonly CodeStream[];
  /** What the code emits, by `<id>@<version>`. */
  readonly schemas: ReadonlyMap<string, unknown>;
  /** Schemas of what stands in buckets: no subject names them. */
  readonly records: ReadonlySet<string>;
  readonly errors: ErrorTables;
}

export interface Example {
  /** `<id>@<version>`, the name of its folder. */
  readonly schema: string;
  readonly path: string;
  readonly value: unknown;
}

/** A file that is generated; `found` is undefined where there is none. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
  readonly found: string | undefined;
}

export interface Material {
  readonly registry: Registry;
  /** The registry as it stands in its file. */
  readonly tree: unknown;
  readonly lock: FreezeLock;
  /** Parsed files of `contracts/schemas` and `contracts/frozen`, by `<id>@<version>`. */
  readonly schemas: ReadonlyMap<string, unknown>;
  readonly frozen: ReadonlyMap<string, unknown>;
  readonly examples: readonly Example[];
  /** The reviewed table of `contracts/errors.json`. */
  readonly errors: ErrorTables;
  readonly code: CodeFacts;
  /** Which paths of the registry's evidence are files. */
  readonly evidence: ReadonlySet<string>;
  readonly generated: readonly GeneratedFile[];
  /** The law of another branch, to compare with. */
  readonly base?: { readonly registry: Registry; readonly schemas: ReadonlyMap<string, unknown> };
}

/** What a rule found. */
export interface Fault {
  /** A subject, or '' where it is about none. */
  readonly subject: string;
  /** A file, and a JSON Pointer after `#`. */
  readonly path: string;
  readonly message: string;
  /** A file that is not there: the check cannot judge. */
  readonly isMissing?: true;
}

export type Severity = 'error' | 'warning';

export interface Rule {
  readonly severity: Severity;
  /** What must hold. */
  readonly says: string;
  readonly check: (material: Material) => readonly Fault[];
}

export const REGISTRY_PATH = 'contracts/registry.json';
export const LOCK_PATH = 'contracts/freeze.lock.json';
export const ERRORS_PATH = 'contracts/errors.json';
export const schemaPath = (name: string): string => `contracts/schemas/${name}.json`;
export const frozenPath = (name: string): string => `contracts/frozen/${name}.json`;

/** A place in the registry. */
export const placeOf = (...keys: readonly (string | number)[]): string =>
  `${REGISTRY_PATH}#${keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')}`;

/** The schemas that a subject names, with their places. */
export const refsOf = (subject: {
  readonly payload: PayloadRef;
  readonly reply?: PayloadRef;
}): readonly (readonly [member: 'payload' | 'reply', ref: PayloadRef])[] => [
  ['payload', subject.payload],
  ...(subject.reply === undefined ? [] : ([['reply', subject.reply]] as const)),
];

/** Whether the code has to have it: a draft or a plan is the specification's alone, and so is what a planned owner will do. */
export function isBuilt({ registry }: Material, subject: { readonly name: string; readonly status: string }): boolean {
  if (subject.status === 'draft' || subject.status === 'planned') return false;
  return registry.ownership.every((owner) => owner.subject !== subject.name || owner.status !== 'planned');
}
