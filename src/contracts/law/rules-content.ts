// What a message carries: its schemas, what it is found again by, and what makes two of them the same.
import { type Fault, type Material, placeOf, refsOf, type Rule } from './material.ts';
import { type PayloadRef, schemaName, type SubjectEntry } from './registry-shape.ts';
import { fieldsOf } from './schema-fields.ts';

const fault = (subject: SubjectEntry, at: number, key: string, message: string): Fault => ({
  subject: subject.name,
  path: placeOf('subjects', at, key),
  message,
});

const forEach = (
  { registry }: Material,
  faultsOf: (subject: SubjectEntry, at: number) => readonly Fault[],
): readonly Fault[] => registry.subjects.flatMap(faultsOf);

/** The fields of the message; undefined where a planned one has no schema yet. */
function declared(material: Material, subject: SubjectEntry): ReadonlySet<string> | undefined {
  const schema = material.schemas.get(schemaName(subject.payload));
  if (schema === undefined) return undefined;
  return fieldsOf(schema);
}

function refFaults(subject: SubjectEntry, at: number, member: string, ref: PayloadRef): readonly Fault[] {
  const lacking = (['format', 'schema_id', 'schema_version'] as const).filter((field) => ref[field] === '');
  if (lacking.length > 0) return lacking.map((field) => fault(subject, at, member, `${member}.${field} is missing`));
  return ref.format === 'json' ? [] : [fault(subject, at, member, `${ref.format} is no known format`)];
}

function payloadFaults(subject: SubjectEntry, at: number): readonly Fault[] {
  const halves = refsOf(subject).flatMap(([member, ref]) => refFaults(subject, at, member, ref));
  const asks = subject.class === 'request_reply';
  if (asks === (subject.reply !== undefined)) return halves;
  return [...halves, fault(subject, at, 'reply', asks ? 'a request has a reply' : `${subject.class} has no reply`)];
}

function correlationFaults(material: Material, subject: SubjectEntry, at: number): readonly Fault[] {
  const { primary, fallback } = subject.correlation;
  if (primary === '' || fallback.includes(''))
    return [fault(subject, at, 'correlation', 'primary or fallback is missing')];
  const fields = declared(material, subject);
  if (fields === undefined) return [];
  return [primary, ...fallback]
    .filter((name) => !fields.has(name))
    .map((name) => fault(subject, at, 'correlation', `${name} is no field of ${schemaName(subject.payload)}`));
}

const SCOPES = ['tenant', 'global', 'none'];
const ENFORCEMENTS = ['required', 'optional', 'none'];

function idempotencyFaults(material: Material, subject: SubjectEntry, at: number): readonly Fault[] {
  const { key, scope, enforcement } = subject.idempotency;
  const say = (message: string): Fault => fault(subject, at, 'idempotency', message);
  if (key === '') return [say('key is missing')];
  if (!SCOPES.includes(scope)) return [say(`scope must be one of ${SCOPES.join(', ')}`)];
  if (!ENFORCEMENTS.includes(enforcement)) return [say(`enforcement must be one of ${ENFORCEMENTS.join(', ')}`)];
  const nones = [key, scope, enforcement].filter((word) => word === 'none').length;
  if (nones > 0) {
    if (subject.class === 'jetstream_event' || subject.class === 'dlq') {
      return [say(`${subject.class} is delivered again and needs a key`)];
    }
    return nones === 3 ? [] : [say('key, scope and enforcement are none together')];
  }
  const fields = declared(material, subject);
  const set = material.registry.header_sets[subject.headers];
  if (fields === undefined || set === undefined) return [];
  const carried = new Set([...fields, ...set.required, ...set.optional]);
  return key
    .split(',')
    .filter((part) => !carried.has(part))
    .map((part) => say(`${part} is neither a field nor a header of the message`));
}

export const CONTENT_RULES = {
  'payload-fields': {
    severity: 'error',
    says: 'payload, and reply for request_reply, have format, schema_id and schema_version',
    check: (material) => forEach(material, payloadFaults),
  },
  'correlation-fields': {
    severity: 'error',
    says: 'primary and fallback are present and fields of the schema',
    check: (material) => forEach(material, (subject, at) => correlationFaults(material, subject, at)),
  },
  'idempotency-fields': {
    severity: 'error',
    says: 'key, scope and enforcement are known; stream events and dead letters have a key',
    check: (material) => forEach(material, (subject, at) => idempotencyFaults(material, subject, at)),
  },
} as const satisfies Readonly<Record<string, Rule>>;
