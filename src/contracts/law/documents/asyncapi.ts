// The wire as an AsyncAPI 3.0 document: what tools of that world read. One channel for each subject, one for the replies to
// each request; the operations are those of every party, as one document serves them all.
import {
  membersOf,
  type PayloadRef,
  type Registry,
  schemaName,
  sidesOf,
  type SubjectEntry,
} from '../registry-shape.ts';
import { refsOf } from '../material.ts';
import { type LawSource, paramsOf, servedSubjects } from './law-document.ts';

type Json = Readonly<Record<string, unknown>>;

export function asyncApiDocument(source: LawSource): Json {
  const { registry } = source;
  const subjects = servedSubjects(registry);
  return {
    asyncapi: '3.0.0',
    info: {
      title: registry.meta.name,
      version: registry.meta.version,
      description: 'Generated from contracts/registry.json. Receivers ignore unknown fields; null is not a value.',
    },
    defaultContentType: 'application/json',
    servers: {
      nats: { host: 'localhost:4222', protocol: 'nats', description: 'nats-server 2.9 or newer, with JetStream' },
    },
    channels: Object.fromEntries(subjects.flatMap((subject) => channelsOf(registry, subject))),
    operations: Object.fromEntries(subjects.flatMap(operationsOf)),
    components: {
      messages: Object.fromEntries(subjects.flatMap((subject) => messagesOf(source, subject))),
      schemas: Object.fromEntries([
        ...Object.keys(registry.header_sets).map((name) => [`headers.${name}`, headersSchema(registry, name)] as const),
        ...namedSchemas(subjects).map((name) => [name.replace('@', '.'), embedded(source.schemas.get(name))] as const),
      ]),
    },
  };
}

const namedSchemas = (subjects: readonly SubjectEntry[]): readonly string[] =>
  [...new Set(subjects.flatMap((subject) => refsOf(subject).map(([, ref]) => schemaName(ref))))].toSorted();

const refTo = (...path: readonly string[]): Json => ({
  $ref: `#/${path.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`,
});

/** `caf.exec.call.v2.<pool>` as a key: brackets are not allowed there. */
const channelName = (template: string): string => template.replaceAll(/[<>]/g, '');
const replyChannel = (template: string): string => `${channelName(template)}.reply`;

/** The same body in another header set is another message. */
const messageName = (ref: PayloadRef, headers: string): string => `${schemaName(ref).replace('@', '.')}.${headers}`;

function channelsOf(registry: Registry, subject: SubjectEntry): readonly (readonly [string, Json])[] {
  const { name, purpose, payload, reply, headers, status, version } = subject;
  const params = paramsOf(name);
  const stream = registry.streams.find((entry) => entry.subject === name);
  const channel = {
    address: name.replaceAll('<', '{').replaceAll('>', '}'),
    title: name,
    description: purpose,
    ...(params.length === 0
      ? {}
      : { parameters: Object.fromEntries(params.map((param) => [param, { description: TOKEN }])) }),
    messages: { message: refTo('components', 'messages', messageName(payload, headers)) },
    tags: [{ name: version }, { name: status }],
    'x-class': subject.class,
    'x-idempotency': subject.idempotency,
    ...(stream === undefined ? {} : { 'x-stream': stream.name }),
  };
  if (reply === undefined) return [[channelName(name), channel]];
  const answers = {
    address: null,
    title: `${name}: replies`,
    description: 'The inbox that the request names.',
    messages: { message: refTo('components', 'messages', messageName(reply, headers)) },
  };
  return [
    [channelName(name), channel],
    [replyChannel(name), answers],
  ];
}

const TOKEN = 'One token; each byte outside of A-Z, a-z, 0-9, _ and - is written as = and two hexadecimal digits.';

function operationsOf(subject: SubjectEntry): readonly (readonly [string, Json])[] {
  const { name, queue_group: queue, reply } = subject;
  const channel = channelName(name);
  const sides = sidesOf(subject.direction) ?? { from: [], to: [] };
  const about = {
    channel: refTo('channels', channel),
    messages: [refTo('channels', channel, 'messages', 'message')],
    ...(reply === undefined
      ? {}
      : {
          reply: {
            channel: refTo('channels', replyChannel(name)),
            messages: [refTo('channels', replyChannel(name), 'messages', 'message')],
          },
        }),
  };
  const bindings = queue === undefined ? {} : { bindings: { nats: { queue } } };
  return [
    ...sides.from.map((party) => [`${party}.send.${channel}`, { action: 'send', ...about }] as const),
    ...sides.to.map((party) => [`${party}.receive.${channel}`, { action: 'receive', ...about, ...bindings }] as const),
  ];
}

function messagesOf(source: LawSource, subject: SubjectEntry): readonly (readonly [string, Json])[] {
  const { payload, reply, headers, correlation } = subject;
  const message = (ref: PayloadRef, isAsked: boolean): readonly [string, Json] => {
    const examples = source.examples
      .filter(({ schema }) => schema === schemaName(ref))
      .map(({ path, value }) => ({ name: exampleName(path), payload: value }));
    return [
      messageName(ref, headers),
      {
        name: schemaName(ref),
        contentType: 'application/json',
        headers: refTo('components', 'schemas', `headers.${headers}`),
        payload: refTo('components', 'schemas', schemaName(ref).replace('@', '.')),
        ...(isAsked ? { correlationId: { location: `$message.payload#/${correlation.primary}` } } : {}),
        ...(examples.length === 0 ? {} : { examples }),
      },
    ];
  };
  return [message(payload, true), ...(reply === undefined ? [] : [message(reply, false)])];
}

const exampleName = (path: string): string => path.replace(/^.*\//, '').replace(/\.json$/, '');

/** Senders may add the headers of tracing to every message (contracts 1.4). */
function headersSchema({ header_sets: sets }: Registry, name: string): Json {
  const { required = [], optional = [] } = sets[name] ?? {};
  return {
    type: 'object',
    properties: Object.fromEntries(
      [...required, ...optional, 'traceparent', 'tracestate'].map((header) => [
        header,
        header === 'x_contract_version' ? { type: 'string', const: 'v2' } : { type: 'string' },
      ]),
    ),
    ...(required.length === 0 ? {} : { required }),
  };
}

/** Without its own address: inside of a document a schema is known by its place. */
function embedded(schema: unknown): Json {
  const { $schema: _dialect, $id: _address, ...rest } = membersOf(schema);
  return rest;
}
