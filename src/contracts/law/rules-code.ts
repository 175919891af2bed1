// The law and the code agree, both ways: every contract has its entry and every built entry its contract, and what both
// say of a subject, a header set or a stream is the same.
import { isDeepStrictEqual } from 'node:util';
import {
  type CodeContract,
  type CodeStream,
  type Fault,
  isBuilt,
  type Material,
  placeOf,
  type Rule,
} from './material.ts';
import { schemaName, type StreamEntry, type SubjectEntry } from './registry-shape.ts';

/** An entry in the words of the code. */
const asCode = (subject: SubjectEntry): CodeContract => ({
  template: subject.name,
  class: subject.class,
  headers: subject.headers,
  payload: schemaName(subject.payload),
  ...(subject.reply === undefined ? {} : { reply: schemaName(subject.reply) }),
});

const streamAsCode = (stream: StreamEntry): CodeStream => ({
  name: stream.name,
  subject: stream.subject,
  retention: stream.retention,
  max_age_ms: stream.max_age_ms,
  max_bytes: stream.max_bytes,
  consumers: stream.consumers.map(({ durable, ack_wait_ms, max_ack_pending, nak_delays_ms, delivery_limit }) => ({
    durable,
    ack_wait_ms,
    max_ack_pending,
    nak_delays_ms,
    ...(delivery_limit === undefined ? {} : { delivery_limit }),
  })),
});

/** Members in which two differ, as `name: law, not code`. */
function differences(law: object, code: object): readonly string[] {
  const [one, other] = [law as Readonly<Record<string, unknown>>, code as Readonly<Record<string, unknown>>];
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((name) => !isDeepStrictEqual(one[name], other[name]))
    .map(
      (name) =>
        `${name} is ${JSON.stringify(one[name]) ?? 'absent'} here and ${JSON.stringify(other[name]) ?? 'absent'} in the code`,
    );
}

function subjectFaults(material: Material): readonly Fault[] {
  const { registry, code } = material;
  const entries = new Map(registry.subjects.map((subject, at) => [subject.name, { subject, at }]));
  const templates = new Set(code.contracts.map(({ template }) => template));
  return [
    ...code.contracts.flatMap((contract): readonly Fault[] => {
      const entry = entries.get(contract.template);
      if (entry === undefined) {
        return [
          { subject: contract.template, path: placeOf('subjects'), message: 'the code has it, the registry does not' },
        ];
      }
      return differences(asCode(entry.subject), contract).map((message) => ({
        subject: contract.template,
        path: placeOf('subjects', entry.at),
        message,
      }));
    }),
    ...registry.subjects.flatMap((subject, at): readonly Fault[] =>
      subject.name === '' || templates.has(subject.name) || !isBuilt(material, subject)
        ? []
        : [{ subject: subject.name, path: placeOf('subjects', at), message: 'the registry has it, the code does not' }],
    ),
  ];
}

/** What both sides have by name, compared; what one lacks, told. */
function namedFaults<L extends object, C extends object>(
  part: 'header_sets' | 'streams',
  law: ReadonlyMap<string, L>,
  code: ReadonlyMap<string, C>,
): readonly Fault[] {
  return [...new Set([...law.keys(), ...code.keys()])].flatMap((name) => {
    const [one, other] = [law.get(name), code.get(name)];
    const say = (message: string): Fault => ({ subject: '', path: placeOf(part), message: `${name}: ${message}` });
    if (one === undefined) return [say('the code has it, the registry does not')];
    if (other === undefined) return [say('the registry has it, the code does not')];
    return differences(one, other).map(say);
  });
}

export const CODE_RULES = {
  'code-matches-registry': {
    severity: 'error',
    says: 'subjects, header sets and streams are the same in the registry and in the code',
    check: (material) => {
      const { registry, code } = material;
      const byName = <T extends { readonly name: string }>(list: readonly T[]) =>
        new Map(list.map((item) => [item.name, item]));
      return [
        ...subjectFaults(material),
        ...namedFaults(
          'header_sets',
          new Map(Object.entries(registry.header_sets)),
          new Map(Object.entries(code.headerSets)),
        ),
        ...namedFaults('streams', byName(registry.streams.map(streamAsCode)), byName(code.streams)),
      ];
    },
  },
} as const satisfies Readonly<Record<string, Rule>>;
