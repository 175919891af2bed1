// The shape of `contracts/registry.json`: the reviewed law of the wire (contracts 9). Reading is lenient, so that every
// rule can run and say what is wrong: what is missing or of another kind reads as empty, and the rules find it empty.

export const SUBJECT_STATUSES = ['draft', 'planned', 'active', 'frozen', 'deprecated'] as const;
export const SUBJECT_CLASSES = ['request_reply', 'jetstream_event', 'core_event', 'frames', 'dlq'] as const;
export const OWNER_STATUSES = ['active', 'external', 'planned'] as const;
/** Who stands at an end of a subject; `extension` and `provider` are services of others, `cli` is the command line. */
export const PARTIES = ['gateway', 'router', 'worker', 'ledger', 'cli', 'extension', 'provider'] as const;

/** The JSON Schema of a body, as `<schema_id>@<schema_version>`. */
export interface PayloadRef {
  readonly format: string;
  readonly schema_id: string;
  readonly schema_version: string;
}

export interface SubjectEntry {
  /** A template such as `caf.exec.call.v2.<pool>` is one subject. */
  readonly name: string;
  readonly version: string;
  /** One of `SUBJECT_STATUSES`. */
  readonly status: string;
  /** One of `SUBJECT_CLASSES`. */
  readonly class: string;
  /** `<senders>_to_<receivers>`, several of either joined by `_and_`; see `sidesOf`. */
  readonly direction: string;
  readonly purpose: string;
  /** The consuming module; absent: every subscriber gets each message. */
  readonly queue_group?: string;
  /** A name of `header_sets`. */
  readonly headers: string;
  readonly payload: PayloadRef;
  /** Of `request_reply` only. */
  readonly reply?: PayloadRef;
  readonly correlation: { readonly primary: string; readonly fallback: readonly string[] };
  /** `key`: fields joined by commas, or `none`. */
  readonly idempotency: { readonly key: string; readonly scope: string; readonly enforcement: string };
}

export interface HeaderSetEntry {
  readonly required: readonly string[];
  readonly optional: readonly string[];
}

export interface ConsumerEntry {
  readonly durable: string;
  /** The module whose processes share the durable. */
  readonly module: string;
  readonly ack_policy: string;
  readonly deliver_policy: string;
  readonly max_deliver: number;
  readonly ack_wait_ms: number;
  readonly max_ack_pending: number;
  /** The last one repeats. */
  readonly nak_delays_ms: readonly number[];
  /** Applied by the handler; absent: none. */
  readonly delivery_limit?: number;
}

export interface StreamEntry {
  /** May be a template, as its subject: one stream for each pool. */
  readonly name: string;
  readonly subject: string;
  readonly storage: string;
  readonly retention: string;
  readonly discard: string;
  /** 0: none. */
  readonly max_age_ms: number;
  readonly max_bytes: number;
  readonly duplicate_window_ms: number;
  readonly allow_direct: boolean;
  readonly replicas: { readonly single: number; readonly cluster: number };
  readonly consumers: readonly ConsumerEntry[];
}

export interface OwnerEntry {
  readonly subject: string;
  readonly module: string;
  readonly handler: string;
  /** The other ends, as `<party>.<handler>`, or `<party>` alone. */
  readonly consumers: readonly string[];
  /** A key of `meta.teams`. */
  readonly team: string;
  /** One of `OWNER_STATUSES`. */
  readonly status: string;
  /** A test file that exists, from the root of the project. */
  readonly evidence: string;
}

export interface Registry {
  readonly meta: {
    readonly name: string;
    readonly version: string;
    readonly status: string;
    readonly freeze_tag: string;
    /** Team to its name in CODEOWNERS. */
    readonly teams: Readonly<Record<string, string>>;
  };
  readonly conventions: { readonly allowed_versions: readonly string[]; readonly id_max: number };
  readonly header_sets: Readonly<Record<string, HeaderSetEntry>>;
  readonly subjects: readonly SubjectEntry[];
  readonly streams: readonly StreamEntry[];
  readonly ownership: readonly OwnerEntry[];
}

export type RegistryReading =
  /** `tree` is what stood there, for digests and for what the shape has no word for. */
  | { readonly kind: 'read'; readonly registry: Registry; readonly tree: unknown }
  /** Not JSON. */
  | { readonly kind: 'unreadable'; readonly fault: string };

/** Never throws. */
export function readRegistry(text: string): RegistryReading {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch (fault) {
    return { kind: 'unreadable', fault: fault instanceof Error ? fault.message : 'not JSON' };
  }
  return { kind: 'read', registry: registryOf(tree), tree };
}

/** The registry of a parsed document. */
export function registryOf(tree: unknown): Registry {
  const top = membersOf(tree);
  const meta = membersOf(top['meta']);
  const conventions = membersOf(top['conventions']);
  return {
    meta: {
      name: textOf(meta['name']),
      version: textOf(meta['version']),
      status: textOf(meta['status']),
      freeze_tag: textOf(meta['freeze_tag']),
      teams: mapped(meta['teams'], textOf),
    },
    conventions: {
      allowed_versions: textsOf(conventions['allowed_versions']),
      id_max: numberOf(conventions['id_max']),
    },
    header_sets: mapped(top['header_sets'], (set) => {
      const { required, optional } = membersOf(set);
      return { required: textsOf(required), optional: textsOf(optional) };
    }),
    subjects: listOf(top['subjects']).map(subjectOf),
    streams: listOf(top['streams']).map(streamOf),
    ownership: listOf(top['ownership']).map(ownerOf),
  };
}

/** Who sends and who receives; undefined where the direction has no known form. */
export function sidesOf(
  direction: string,
): { readonly from: readonly string[]; readonly to: readonly string[] } | undefined {
  const [from, to, ...rest] = direction.split('_to_').map((side) => side.split('_and_'));
  if (from === undefined || to === undefined || rest.length > 0) return undefined;
  const isKnown = (party: string): boolean => (PARTIES as readonly string[]).includes(party);
  return [...from, ...to].every(isKnown) ? { from, to } : undefined;
}

/** `<schema_id>@<schema_version>`: the name of the schema's file and of the folder of its examples. */
export const schemaName = ({ schema_id, schema_version }: PayloadRef): string => `${schema_id}@${schema_version}`;

function subjectOf(tree: unknown): SubjectEntry {
  const entry = membersOf(tree);
  const correlation = membersOf(entry['correlation']);
  const idempotency = membersOf(entry['idempotency']);
  return {
    name: textOf(entry['name']),
    version: textOf(entry['version']),
    status: textOf(entry['status']),
    class: textOf(entry['class']),
    direction: textOf(entry['direction']),
    purpose: textOf(entry['purpose']),
    ...(entry['queue_group'] === undefined ? {} : { queue_group: textOf(entry['queue_group']) }),
    headers: textOf(entry['headers']),
    payload: payloadRefOf(entry['payload']),
    ...(entry['reply'] === undefined ? {} : { reply: payloadRefOf(entry['reply']) }),
    correlation: { primary: textOf(correlation['primary']), fallback: textsOf(correlation['fallback']) },
    idempotency: {
      key: textOf(idempotency['key']),
      scope: textOf(idempotency['scope']),
      enforcement: textOf(idempotency['enforcement']),
    },
  };
}

function payloadRefOf(tree: unknown): PayloadRef {
  const { format, schema_id, schema_version } = membersOf(tree);
  return { format: textOf(format), schema_id: textOf(schema_id), schema_version: textOf(schema_version) };
}

function streamOf(tree: unknown): StreamEntry {
  const entry = membersOf(tree);
  const replicas = membersOf(entry['replicas']);
  return {
    name: textOf(entry['name']),
    subject: textOf(entry['subject']),
    storage: textOf(entry['storage']),
    retention: textOf(entry['retention']),
    discard: textOf(entry['discard']),
    max_age_ms: numberOf(entry['max_age_ms']),
    max_bytes: numberOf(entry['max_bytes']),
    duplicate_window_ms: numberOf(entry['duplicate_window_ms']),
    allow_direct: entry['allow_direct'] === true,
    replicas: { single: numberOf(replicas['single']), cluster: numberOf(replicas['cluster']) },
    consumers: listOf(entry['consumers']).map(consumerOf),
  };
}

function consumerOf(tree: unknown): ConsumerEntry {
  const entry = membersOf(tree);
  return {
    durable: textOf(entry['durable']),
    module: textOf(entry['module']),
    ack_policy: textOf(entry['ack_policy']),
    deliver_policy: textOf(entry['deliver_policy']),
    max_deliver: numberOf(entry['max_deliver']),
    ack_wait_ms: numberOf(entry['ack_wait_ms']),
    max_ack_pending: numberOf(entry['max_ack_pending']),
    nak_delays_ms: listOf(entry['nak_delays_ms']).map(numberOf),
    ...(entry['delivery_limit'] === undefined ? {} : { delivery_limit: numberOf(entry['delivery_limit']) }),
  };
}

function ownerOf(tree: unknown): OwnerEntry {
  const entry = membersOf(tree);
  return {
    subject: textOf(entry['subject']),
    module: textOf(entry['module']),
    handler: textOf(entry['handler']),
    consumers: textsOf(entry['consumers']),
    team: textOf(entry['team']),
    status: textOf(entry['status']),
    evidence: textOf(entry['evidence']),
  };
}

/** The members of an object; none for anything else. */
export const membersOf = (tree: unknown): Readonly<Record<string, unknown>> =>
  typeof tree === 'object' && tree !== null && !Array.isArray(tree) ? (tree as Readonly<Record<string, unknown>>) : {};

/** The items of a list; none for anything else. */
export const listOf = (tree: unknown): readonly unknown[] => (Array.isArray(tree) ? tree : []);

const textOf = (tree: unknown): string => (typeof tree === 'string' ? tree : '');
/** Minus one stands for what is no number, since 0 means "none" in some fields. */
const numberOf = (tree: unknown): number => (typeof tree === 'number' ? tree : -1);
const textsOf = (tree: unknown): readonly string[] => listOf(tree).map(textOf);
const mapped = <T>(tree: unknown, each: (member: unknown) => T): Readonly<Record<string, T>> =>
  Object.fromEntries(Object.entries(membersOf(tree)).map(([name, member]) => [name, each(member)]));
