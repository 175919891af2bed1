// `beamline dlq list`: what was given up, oldest first, without bodies.
import { defineCommand } from 'citty';
import { listLetters } from '../bus/letter-box.ts';
import { connectionArgs, filterArgs, fitsOf, withLetters } from './dlq-desk.ts';
import { EXIT, UsageError } from './exit.ts';
import { columns } from './explanation-text.ts';
import { complain, print } from './print.ts';

const LIMIT_MAX = 10_000;

export const dlqListCommand = defineCommand({
  meta: { name: 'list', description: 'List dead letters: exit 0, or 2 without a connection' },
  args: {
    ...connectionArgs,
    ...filterArgs,
    limit: { type: 'string', default: '50', valueHint: 'count', description: 'At most so many, oldest first' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  run: ({ args }) => {
    const limit = limitOf(args.limit);
    const fits = fitsOf(args);
    return withLetters(args, async (bus) => {
      const list = await listLetters(bus, { fits, limit });
      const { letters, unreadable, isCut } = list;
      if (args.json) print(JSON.stringify({ letters, unreadable, more: isCut }, null, 2));
      else for (const line of columns(rowsOf(list))) print(line);
      if (isCut) complain(`There are more than ${limit}: --limit shows more`);
      return EXIT.ok;
    });
  },
});

function limitOf(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new UsageError(`--limit ${JSON.stringify(text)} is not a number from 1 to ${LIMIT_MAX}`);
}

const rowsOf = ({ letters, unreadable }: Awaited<ReturnType<typeof listLetters>>): readonly (readonly string[])[] => [
  ['number', 'stored', 'id', 'subject', 'tenant', 'class', 'code', 'deliveries', 'replays', 'bytes'],
  ...letters.map((line) => [
    String(line.seq),
    new Date(line.stored_at_ms).toISOString(),
    line.msg_id,
    line.original_subject,
    line.tenant_id ?? '-',
    line.error.class,
    line.error.code,
    String(line.delivery.count),
    String(line.replays),
    `${line.payload_bytes}${line.payload_truncated ? ' cut' : ''}`,
  ]),
  ...unreadable.map(({ seq, stored_at_ms, fault }) => [
    String(seq),
    new Date(stored_at_ms).toISOString(),
    `unreadable: ${fault}`,
  ]),
];
