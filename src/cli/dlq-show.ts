// `beamline dlq show`: one letter with all that was kept of it.
import { defineCommand } from 'citty';
import { letterAt, listLetters } from '../bus/letter-box.ts';
import type { DlqEnvelope } from '../contracts/dead-letter.ts';
import { connectionArgs, LETTERS_MAX, selectionOf, withLetters } from './dlq-desk.ts';
import { EXIT } from './exit.ts';
import { complain, print } from './print.ts';

export const dlqShowCommand = defineCommand({
  meta: { name: 'show', description: 'Show one dead letter as JSON: exit 0, 1 there is none, 2 no connection' },
  args: {
    id: { type: 'positional', required: true, description: 'Message id or number of the letter' },
    ...connectionArgs,
    body: { type: 'boolean', default: false, description: 'Print the original body instead, as it came' },
  },
  run: ({ args }) =>
    withLetters(args, async (bus) => {
      const { letters } = await listLetters(bus, { fits: selectionOf([args.id], {}), limit: LETTERS_MAX });
      const line = letters.at(-1);
      const letter = line === undefined ? undefined : await letterAt(bus, line.seq);
      if (line === undefined || letter === undefined) {
        complain(`${args.id}: there is no such letter`);
        return EXIT.failed;
      }
      if (!args.body) print(JSON.stringify({ seq: line.seq, stored_at_ms: line.stored_at_ms, ...letter }, null, 2));
      else if (letter.payload_encoding === 'base64') print(bodyOf(letter));
      else return refuseEncrypted(args.id);
      return EXIT.ok;
    }),
});

const bodyOf = ({ payload }: DlqEnvelope): string => Buffer.from(payload, 'base64').toString('utf8');

function refuseEncrypted(id: string): number {
  complain(`${id}: its body is encrypted`);
  return EXIT.failed;
}
