// `beamline dlq`: messages that were given up.
import { defineCommand } from 'citty';
import { dlqListCommand } from './dlq-list.ts';
import { dlqPurgeCommand } from './dlq-purge.ts';
import { dlqReplayCommand } from './dlq-replay.ts';
import { dlqShowCommand } from './dlq-show.ts';

export const dlqCommand = defineCommand({
  meta: { name: 'dlq', description: 'List, show, replay and purge dead letters' },
  subCommands: {
    list: dlqListCommand,
    show: dlqShowCommand,
    replay: dlqReplayCommand,
    purge: dlqPurgeCommand,
  },
});
