// `beamline contracts diff`: what a change of the law means to those who send and those who read.
import { defineCommand } from 'citty';
import { diffLaws, type LawChange } from '../contracts/law/registry-diff.ts';
import { readLaw, UnreadableLaw } from './law-source.ts';
import { EXIT } from './exit.ts';
import { columns } from './explanation-text.ts';
import { complain, print } from './print.ts';

export const contractsDiffCommand = defineCommand({
  meta: { name: 'diff', description: 'List what changed between two states of the contracts, and for whom it breaks' },
  args: {
    old: { type: 'positional', required: true, description: 'Before: a folder, or a revision of git' },
    new: { type: 'positional', required: false, default: 'contracts', description: 'After (default: contracts)' },
    json: { type: 'boolean', default: false, description: 'Print one JSON object' },
  },
  run({ args }) {
    try {
      const changes = diffLaws(readLaw(args.old), readLaw(args.new));
      const breaking = changes.filter((change) => change.breaking).length;
      const report = { breaking, additive: changes.length - breaking, changes };
      print(args.json ? JSON.stringify(report, null, 2) : lawChangesText(changes));
      return breaking === 0 ? EXIT.ok : EXIT.failed;
    } catch (fault) {
      if (!(fault instanceof UnreadableLaw)) throw fault;
      complain(fault.message);
      return EXIT.unreadable;
    }
  },
});

/** One line for each change under its subject. */
export function lawChangesText(changes: readonly LawChange[]): string {
  if (changes.length === 0) return 'the contracts are the same';
  const breaking = changes.filter((change) => change.breaking).length;
  const groups = Map.groupBy(changes, ({ subject }) => subject);
  const lines = [
    `${groups.size} ${groups.size === 1 ? 'subject' : 'subjects'} changed: ${breaking} breaking, ${changes.length - breaking} additive`,
  ];
  for (const [subject, group] of groups) {
    const verdict = ({ breaking: isBreaking }: LawChange): string => (isBreaking ? 'BREAKING' : 'additive');
    const row = (change: LawChange) => [verdict(change), change.part, change.path, change.message, brokenBy(change)];
    lines.push(subject, ...columns(group.map(row)));
  }
  return lines.join('\n');
}

function brokenBy({ breaks: { consumer, producer } }: LawChange): string {
  if (consumer && producer) return '[old senders and new readers; new senders and old readers]';
  if (consumer) return '[old senders and new readers]';
  return producer ? '[new senders and old readers]' : '';
}
