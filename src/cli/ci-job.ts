// What CI must run, and how a guard speaks of what it found in a CI file.
import { type Path } from '../config/settle.ts';

export interface CiFault {
  /** Of what is wrong, from the root of the file. */
  readonly path: Path;
  readonly message: string;
}

type Members = Readonly<Record<string, unknown>>;

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const membersOf = (value: unknown): Members => (isMembers(value) ? value : {});

/** A text or a list of texts, one for each line of a script. */
export const linesOf = (value: unknown): readonly string[] =>
  (Array.isArray(value) ? value.flat(9) : [value]).flatMap((item) =>
    typeof item === 'string' ? item.split('\n') : [],
  );

/** Whether a line runs the command of ours, in whatever form. */
export const runs = (line: string, command: string): boolean =>
  new RegExp(String.raw`(^|[\s/])beamline\s+${command.replaceAll(' ', String.raw`\s+`)}(?![\w-])`).test(
    uncommented(line),
  );

const uncommented = (line: string): string => line.replace(/(^|\s)#.*$/, '');

/** Why a script that has the command can end well although the command failed; undefined if it cannot. */
export function softness(lines: readonly string[], command: string): string | undefined {
  const line = lines.find((one) => runs(one, command)) ?? '';
  if (/[|;&]/.test(uncommented(line).replaceAll(/"[^"]*"|'[^']*'/g, ''))) {
    return 'the command shares its line with others, so that its failure can be lost';
  }
  if (/--help\b|(^|\s)-h(\s|$)/.test(line)) return 'the command only tells its help';
  if (/^\s*(if|while|until|!)\s/.test(line)) return 'the command is a condition, and its failure is none';
  if (lines.some((one) => /(^|\s|;)set\s+\+e|set\s+\+o\s+errexit/.test(uncommented(one))))
    return 'the script goes on after faults';
  if (lines.some((one) => /^\s*exit\s+0\b/.test(uncommented(one)))) return 'the script ends with 0 whatever happened';
  return undefined;
}
