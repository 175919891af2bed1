// Reads files of decision records, in the order in which they were written, without ever holding more than one piece of one.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BeamlineError } from '../core/errors.ts';
import type { DecisionRecord, RequestRecord } from '../policy/decision-record.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { isMembers } from '../policy/shape.ts';
import { DECISION_FILE, type PolicyLine } from './decision-files.ts';
import { linesOf } from './file-lines.ts';

export class DecisionFilesReader {
  readonly #paths: readonly string[];
  /** The policies of the file that is read, by tenant, id and revision. */
  readonly #policies = new Map<string, Policy>();
  #torn = 0;

  /** Throws the system's fault for a directory that cannot be read. `isWanted` hears the day of a file, in UTC. */
  constructor(dirs: readonly string[], isWanted: (day: string) => boolean = () => true) {
    this.#paths = dirs.flatMap((dir) =>
      readdirSync(dir)
        .filter((name) => {
          const day = DECISION_FILE.exec(name)?.[1];
          return day !== undefined && isWanted(day);
        })
        .toSorted()
        .map((name) => join(dir, name)),
    );
  }

  get files(): number {
    return this.#paths.length;
  }

  /** Files whose last line was broken off; they were read up to it. */
  get torn(): number {
    return this.#torn;
  }

  /** Throws the system's fault, or `validation_failed` for a line before the last that is not a record. */
  *entries(): Generator<RequestRecord> {
    for (const entry of this.steps()) if (entry !== undefined) yield entry;
  }

  /** One step of reading, whether or not it found an entry: for those who read a little at a time. */
  *steps(): Generator<RequestRecord | undefined> {
    for (const path of this.#paths) yield* this.#stepsOf(path);
  }

  /** The policy that made a record; to be asked before the next one is read. */
  own({ tenant_id: tenant, policy_id: id, revision }: DecisionRecord): Policy | undefined {
    return this.#policies.get(keyOf(tenant, id, revision)) ?? this.#policies.get(keyOf('*', id, revision));
  }

  *#stepsOf(path: string): Generator<RequestRecord | undefined> {
    this.#policies.clear();
    let number = 0;
    let broken: number | undefined;
    for (const line of linesOf(path)) {
      number++;
      // Only the last line may be broken, and whether it was the last is known now.
      if (broken !== undefined) throw unreadable(path, broken);
      const value = valueOf(line);
      if (isPolicyLine(value)) this.#learn(value);
      else if (!isEntry(value) && !isForeign(value)) broken = number;
      yield isEntry(value) ? value : undefined;
    }
    if (broken !== undefined) this.#torn++;
  }

  #learn(line: PolicyLine): void {
    const { tenant_id: tenantId, policy_id: policyId, revision, document } = line;
    // It was valid where it decided, so whatever it names was a provider there.
    const knownProviders = new Set(textsIn(document));
    const parsed = parsePolicy(document, { tenantId, policyId, revision, knownProviders });
    // A document that this release does not read leaves its records untested, and the report says how many were tested.
    if (parsed.kind === 'valid') this.#policies.set(keyOf(tenantId, policyId, revision), parsed.policy);
  }
}

/** Every text of a JSON value, keys included. */
export function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (Array.isArray(value)) for (const item of value) yield* textsIn(item);
  else if (isMembers(value))
    for (const [key, item] of Object.entries(value)) {
      yield key;
      yield* textsIn(item);
    }
}

const keyOf = (tenantId: string, policyId: string, revision: number): string => `${tenantId} ${policyId} ${revision}`;

const unreadable = (path: string, line: number): BeamlineError =>
  new BeamlineError('validation_failed', `${path}:${line}:1 is not a decision record`);

function valueOf(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

type Members = Readonly<Record<string, unknown>>;

const TYPES: ReadonlySet<unknown> = new Set(['decision', 'attempt', 'outcome', 'usage', 'policy']);

/** Of a type that this release does not know. */
const isForeign = (value: unknown): boolean =>
  isMembers(value) && typeof value['type'] === 'string' && !TYPES.has(value['type']);

export function isEntry(value: unknown): value is RequestRecord {
  if (!isMembers(value)) return false;
  if (value['type'] === 'outcome') return typeof value['provider_id'] === 'string' && isNumber(value['latency_ms']);
  if (value['type'] === 'attempt') return typeof value['provider_id'] === 'string' && isNumber(value['attempt']);
  if (value['type'] === 'usage') return Array.isArray(value['arms']) && isNumber(value['cost_micro_usd']);
  const { facts, snapshot, verdict } = value as Members & Partial<Record<keyof DecisionRecord, unknown>>;
  return (
    value['type'] === 'decision' &&
    isNumber(value['attempt']) &&
    isMembers(facts) &&
    isMembers(facts['context']) &&
    isMembers(snapshot) &&
    Array.isArray(snapshot['providers']) &&
    isMembers(verdict)
  );
}

const isPolicyLine = (value: unknown): value is PolicyLine =>
  isMembers(value) && value['type'] === 'policy' && isNumber(value['revision']);

const isNumber = (value: unknown): value is number => typeof value === 'number';
