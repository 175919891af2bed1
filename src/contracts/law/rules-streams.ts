// The streams: each stored subject has one, by its exact name, with settings that the oldest supported server understands.
import { DUPLICATE_WINDOW_MS } from '../limits.ts';
import { type Fault, type Material, placeOf, type Rule } from './material.ts';
import { listOf, membersOf, type StreamEntry } from './registry-shape.ts';

const fault = (stream: StreamEntry, at: number, key: string, message: string): Fault => ({
  subject: stream.subject,
  path: placeOf('streams', at, key),
  message: `${stream.name}: ${message}`,
});

const isStored = (kind: string): boolean => kind === 'jetstream_event' || kind === 'dlq';

function existenceFaults({ registry }: Material): readonly Fault[] {
  const { subjects, streams } = registry;
  // A plan has no stream yet.
  const stored = subjects.filter(
    ({ class: kind, status }) => isStored(kind) && status !== 'planned' && status !== 'draft',
  );
  return [
    ...stored.flatMap(({ name }): readonly Fault[] => {
      const count = streams.filter(({ subject }) => subject === name).length;
      const path = placeOf('streams');
      return count === 1 ? [] : [{ subject: name, path, message: `is in ${count} streams, not in one` }];
    }),
    ...streams.flatMap((stream, at): readonly Fault[] => {
      if (stream.subject.split('.').some((token) => token === '*' || token === '>'))
        return [fault(stream, at, 'subject', 'a wildcard captures what is not its own')];
      return subjects.some(({ name, class: kind }) => name === stream.subject && isStored(kind))
        ? []
        : [fault(stream, at, 'subject', 'is no stored subject of the registry')];
    }),
  ];
}

/** Newer than the floor, or not what it seems: `backoff` replaces the ack wait, so long jobs would be delivered again. */
const ABOVE_THE_FLOOR = [
  'filter_subjects',
  'metadata',
  'compression',
  'subject_transform',
  'first_seq',
  'allow_msg_ttl',
  'subject_delete_marker_ttl',
  'pause_until',
  'priority_groups',
  'priority_policy',
  'term_reason',
  'sync_interval',
  'backoff',
];

function floorFaults({ registry, tree }: Material): readonly Fault[] {
  const raw = listOf(membersOf(tree)['streams']);
  return registry.streams.flatMap((stream, at) => {
    const settings = membersOf(raw[at]);
    const nodes = [settings, ...listOf(settings['consumers']).map(membersOf)];
    return nodes.flatMap((node) =>
      ABOVE_THE_FLOOR.filter((name) => Object.hasOwn(node, name)).map((name) =>
        fault(stream, at, name, `${name} is not for a 2.9 server`),
      ),
    );
  });
}

/** What all streams and consumers have in common (contracts 3.2, 3.3). */
function settingFaults({ registry }: Material): readonly Fault[] {
  return registry.streams.flatMap((stream, at) => {
    const wrong: readonly (readonly [key: string, isFine: boolean, wanted: string])[] = [
      ['storage', stream.storage === 'file', 'file'],
      ['discard', stream.discard === 'new', 'new'],
      ['max_bytes', stream.max_bytes > 0, 'an explicit number'],
      ['duplicate_window_ms', stream.duplicate_window_ms === DUPLICATE_WINDOW_MS, String(DUPLICATE_WINDOW_MS)],
      ['allow_direct', stream.allow_direct, 'true'],
      ['replicas', stream.replicas.single === 1 && stream.replicas.cluster === 3, '1 on one node and 3 in a cluster'],
      [
        'consumers',
        stream.consumers.every(
          (consumer) =>
            consumer.ack_policy === 'explicit' &&
            consumer.deliver_policy === 'all' &&
            consumer.max_deliver === -1 &&
            consumer.nak_delays_ms.length > 0,
        ),
        'explicit, deliver all, without a delivery limit of the server, with nak delays',
      ],
    ];
    return wrong
      .filter(([, isFine]) => !isFine)
      .map(([key, , wanted]) => fault(stream, at, key, `${key} must be ${wanted}`));
  });
}

export const STREAM_RULES = {
  'stream-exists': {
    severity: 'error',
    says: 'each stored subject is in exactly one stream, without wildcard',
    check: existenceFaults,
  },
  'stream-settings': {
    severity: 'error',
    says: 'streams and consumers have the settings that all of them share',
    check: settingFaults,
  },
  'server-floor': {
    severity: 'error',
    says: 'no setting that a 2.9 server does not know',
    check: floorFaults,
  },
} as const satisfies Readonly<Record<string, Rule>>;
