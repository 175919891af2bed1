// `beamline dlq purge`: removes dead letters for good.
import { defineCommand } from 'citty';
import { listLetters, removeLetter } from '../bus/letter-box.ts';
import { connectionArgs, LETTERS_MAX, selectionArgs, selectionOf, unknownOf, withLetters } from './dlq-desk.ts';
import { EXIT } from './exit.ts';
import { complain, print } from './print.ts';

export const dlqPurgeCommand = defineCommand({
  meta: {
    name: 'purge',
    description: 'Remove dead letters: exit 0 all removed, 1 some were not there, 2 no connection',
  },
  args: {
    ...selectionArgs,
    ...connectionArgs,
    'dry-run': { type: 'boolean', default: false, description: 'Tell which letters are meant, and remove none' },
  },
  run: ({ args }) => {
    const fits = selectionOf(args._, args);
    return withLetters(args, async (bus) => {
      const list = await listLetters(bus, { fits, limit: LETTERS_MAX });
      const named = new Set(args._);
      // What is no letter has a number only, and no filter knows it.
      const broken = list.unreadable.filter(({ seq }) => named.has(String(seq)));
      const chosen = [
        ...list.letters.map(({ seq, msg_id }) => ({ seq, name: msg_id })),
        ...broken.map(({ seq }) => ({ seq, name: String(seq) })),
      ];
      let refusals = 0;
      for (const id of unknownOf(args._, list)) {
        complain(`${id}: there is no such letter`);
        refusals++;
      }
      for (const { seq, name } of chosen) {
        // eslint-disable-next-line no-await-in-loop -- a stop in the middle leaves the rest
        const isGone = args['dry-run'] || (await removeLetter(bus, seq));
        if (!isGone) refusals++;
        print(`${name} ${args['dry-run'] ? 'would be removed' : isGone ? 'removed' : 'was not there any more'}`);
      }
      if (list.isCut) complain(`Only the first ${LETTERS_MAX} letters: the others are left for another run`);
      return refusals === 0 ? EXIT.ok : EXIT.failed;
    });
  },
});
