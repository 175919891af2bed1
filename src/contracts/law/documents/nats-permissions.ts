// The least that each module must be allowed on a NATS server: its subjects by their directions, the streams that it fills
// or reads, the buckets that it keeps, and nothing of the rest of `$JS.API.>`.
// Written into a token of a user they are long: a server takes it with `max_control_line: 65536`.
// A name in angle brackets is filled in by the operator: a worker serves one pool.
import { type Registry, sidesOf, type StreamEntry, type SubjectEntry } from '../registry-shape.ts';
import { servedSubjects } from './law-document.ts';

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Buckets (contracts 2.3) without their prefix: who writes, and who reads too. */
const BUCKETS: Readonly<Record<string, { readonly writers: readonly string[]; readonly readers: readonly string[] }>> =
  {
    policies: { writers: ['router'], readers: [] },
    policy_history: { writers: ['router'], readers: [] },
    jobs: { writers: ['router'], readers: ['gateway', 'worker', 'ledger'] },
    approvals: { writers: ['router'], readers: ['gateway'] },
    attempts: { writers: ['worker'], readers: [] },
    blobs: { writers: ['worker', 'gateway'], readers: [] },
    extensions: { writers: ['router'], readers: ['worker', 'gateway'] },
    sticky: { writers: ['router'], readers: [] },
    webhooks: { writers: ['gateway'], readers: [] },
    budgets: { writers: ['gateway', 'router', 'ledger'], readers: [] },
    prices: { writers: ['ledger'], readers: ['gateway', 'router', 'worker'] },
    control: { writers: ['router', 'cli'], readers: ['gateway', 'worker'] },
    presence: { writers: ['gateway', 'router', 'worker', 'ledger'], readers: ['cli'] },
  };

/** What else a module asks of streams: how far their readers are, and how old what is left. */
const ASKED: Readonly<Record<string, readonly string[]>> = {
  // Where the newest dead letter is, asked for a consumer that nobody makes.
  gateway: ['CONSUMER.INFO.BEAMLINE_DLQ.dead-letter-pages'],
  ledger: [
    'STREAM.INFO.CAF_RESULT',
    'CONSUMER.INFO.CAF_RESULT.router-results',
    'STREAM.MSG.GET.CAF_RESULT',
    'STREAM.MSG.GET.BEAMLINE_USAGE',
  ],
  // Whether an attempt still waits where it was stored, and whether a result does.
  router: [
    'CONSUMER.INFO.CAF_ASSIGN.caf-workers',
    'CONSUMER.INFO.CAF_ASSIGN_<pool>.caf-workers-<pool>',
    'STREAM.MSG.GET.CAF_ASSIGN',
    'STREAM.MSG.GET.CAF_ASSIGN_<pool>',
    'STREAM.MSG.GET.CAF_RESULT',
  ],
};

/** Tokens that are the module's own where it receives. A gateway names itself anew at each start, so its id is none. */
const OWN: Readonly<Record<string, string>> = { worker: 'pool' };

const API = '$JS.API';

/** By module, sorted. Every line is an allowance; what no line allows must be denied. */
export function natsPermissions(registry: Registry): Readonly<Record<string, Permissions>> {
  const grants = new Map<string, { publish: Set<string>; subscribe: Set<string> }>();
  const of = (party: string) => {
    const grant = grants.get(party) ?? { publish: new Set<string>(), subscribe: new Set<string>() };
    grants.set(party, grant);
    return grant;
  };
  for (const subject of servedSubjects(registry)) {
    const { from, to } = sidesOf(subject.direction) ?? { from: [], to: [] };
    const streams = registry.streams.filter((stream) => stream.subject === subject.name);
    for (const party of from) grantSender(of(party), subject, streams);
    for (const party of to) grantReceiver(of(party), party, subject, streams);
  }
  for (const [name, { writers, readers }] of Object.entries(BUCKETS)) {
    for (const party of [...writers, ...readers]) grantBucket(of(party), name, writers.includes(party));
  }
  for (const [party, asked] of Object.entries(ASKED)) {
    for (const question of asked) of(party).publish.add(`${API}.${question}`);
  }
  const sorted = [...grants].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(
    sorted.map(([party, { publish, subscribe }]) => [
      party,
      { publish: [...publish].toSorted(), subscribe: [...subscribe].toSorted() },
    ]),
  );
}

interface Grant {
  readonly publish: Set<string>;
  readonly subscribe: Set<string>;
}

const wild = (template: string): string => template.replaceAll(/<[a-z_]+>/g, '*');

function grantSender(grant: Grant, subject: SubjectEntry, streams: readonly StreamEntry[]): void {
  grant.publish.add(wild(subject.name));
  if (subject.class === 'request_reply') grant.subscribe.add('_INBOX.>');
  for (const { name } of streams) {
    // It confirms what was stored, to an inbox.
    grant.subscribe.add('_INBOX.>');
    grantStream(grant, name);
  }
}

function grantReceiver(grant: Grant, party: string, subject: SubjectEntry, streams: readonly StreamEntry[]): void {
  if (streams.length > 0) {
    for (const stream of streams) grantConsumers(grant, party, stream);
    return;
  }
  const own = OWN[party];
  const listens = subject.name.replaceAll(/<([a-z_]+)>/g, (token, name) => (name === own ? token : '*'));
  // Some operations are asked of every process and not of one of a group; the name of the subject does not tell which.
  const isShared = subject.queue_group !== undefined && !subject.name.endsWith('<op>');
  grant.subscribe.add(isShared ? `${listens} ${subject.queue_group}` : listens);
  if (subject.class === 'request_reply') grant.publish.add('_INBOX.>');
}

/** Made if it is not there, and given its settings. */
function grantStream({ publish }: Grant, name: string): void {
  // What the server can is asked before a bucket is opened.
  publish.add(`${API}.INFO`);
  for (const action of ['CREATE', 'UPDATE', 'INFO']) publish.add(`${API}.STREAM.${action}.${name}`);
}

function grantConsumers(grant: Grant, party: string, stream: StreamEntry): void {
  const { name, consumers } = stream;
  const own = consumers.filter(({ module }) => module === party);
  grantStream(grant, name);
  grant.subscribe.add('_INBOX.>');
  for (const { durable } of own) {
    for (const action of ['CREATE', 'DURABLE.CREATE', 'INFO', 'MSG.NEXT']) {
      grant.publish.add(`${API}.CONSUMER.${action}.${name}.${durable}`);
    }
    grant.publish.add(`$JS.ACK.${name}.${durable}.>`);
  }
  // Read by number, without a durable: dead letters are looked at and removed by hand.
  if (own.length > 0) return;
  for (const action of ['STREAM.MSG.GET', 'STREAM.MSG.DELETE']) grant.publish.add(`${API}.${action}.${name}`);
}

/** A bucket is a stream; it is read by key, and watched by consumers that live as long as the watch. */
function grantBucket(grant: Grant, name: string, isWriter: boolean): void {
  const bucket = `beamline_${name}`;
  const stream = `KV_${bucket}`;
  grant.subscribe.add('_INBOX.>');
  // A writer also removes for good, by number.
  if (isWriter) {
    grant.publish.add(`$KV.${bucket}.>`);
    grant.publish.add(`${API}.STREAM.MSG.DELETE.${stream}`);
  }
  grantStream(grant, stream);
  // From any copy where that is enough, and from the one that was written where it must be the newest.
  grant.publish.add(`${API}.DIRECT.GET.${stream}.$KV.${bucket}.>`);
  grant.publish.add(`${API}.STREAM.MSG.GET.${stream}`);
  for (const action of ['CREATE', 'DELETE', 'INFO']) grant.publish.add(`${API}.CONSUMER.${action}.${stream}.>`);
}
