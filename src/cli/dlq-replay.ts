// `beamline dlq replay`: sends dead letters again to where they came from, fifty in a second at most.
import { defineCommand } from 'citty';
import { type LetterLine, listLetters } from '../bus/letter-box.ts';
import { replayAll, type Replayed } from '../bus/letter-replay.ts';
import { connectionArgs, LETTERS_MAX, selectionArgs, selectionOf, unknownOf, withLetters } from './dlq-desk.ts';
import { EXIT } from './exit.ts';
import { complain, print } from './print.ts';

export const dlqReplayCommand = defineCommand({
  meta: { name: 'replay', description: 'Send dead letters again: exit 0 all sent, 1 some refused, 2 no connection' },
  args: {
    ...selectionArgs,
    ...connectionArgs,
    force: { type: 'boolean', default: false, description: 'Also those that were given up for good' },
    'dry-run': { type: 'boolean', default: false, description: 'Tell which letters are meant, and send none' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object for each' },
  },
  run: ({ args }) => {
    const fits = selectionOf(args._, args);
    return withLetters(args, async (bus, { timers }) => {
      const list = await listLetters(bus, { fits, limit: LETTERS_MAX });
      const unknown = unknownOf(args._, list);
      for (const id of unknown) complain(`${id}: there is no such letter`);
      if (list.isCut) complain(`Only the first ${LETTERS_MAX} letters: the others are left for another run`);
      if (args['dry-run']) {
        for (const { msg_id, original_subject } of list.letters) print(`${msg_id} would go to ${original_subject}`);
        return unknown.length === 0 ? EXIT.ok : EXIT.failed;
      }
      let refusals = unknown.length;
      const paced = { clock: timers.clock, pause: (ms: number) => timers.sleep(ms), isForced: args.force };
      for await (const [letter, outcome] of replayAll(bus, list.letters, paced)) {
        if (outcome.kind === 'refused') refusals++;
        tell(letter, outcome, args.json);
      }
      return refusals === 0 ? EXIT.ok : EXIT.failed;
    });
  },
});

function tell({ msg_id }: LetterLine, outcome: Replayed, asJson: boolean): void {
  if (asJson) print(JSON.stringify({ msg_id, ...outcome }));
  else if (outcome.kind === 'refused') complain(`${msg_id} refused: ${outcome.why}`);
  else print(`${msg_id} sent to ${outcome.subject}, replay ${outcome.count}`);
}
