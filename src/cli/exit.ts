// Exit codes (operations 0), and which fault gives which.
import { BeamlineError } from '../core/errors.ts';

export const EXIT = {
  ok: 0,
  failed: 1,
  /** A check cannot judge: its input is missing or unreadable. */
  unreadable: 2,
  usage: 64,
  missing: 69,
  defect: 70,
  abandoned: 75,
  configuration: 78,
} as const;

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The exit code of a fault, and what to tell about it. */
export function exitOf(thrown: unknown): { code: number; text: string } {
  if (thrown instanceof UsageError || isParserFault(thrown)) return { code: EXIT.usage, text: thrown.message };
  if (thrown instanceof BeamlineError) {
    if (thrown.details['reason'] === 'configuration') return { code: EXIT.configuration, text: thrown.message };
    if (thrown.code === 'unavailable') return { code: EXIT.missing, text: thrown.message };
  }
  if (isSystemFault(thrown)) return { code: EXIT.missing, text: thrown.message };
  return { code: EXIT.defect, text: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown) };
}

const isParserFault = (thrown: unknown): thrown is Error => thrown instanceof Error && thrown.name === 'CLIError';

/** What the system refused, for example a port that is taken. */
const isSystemFault = (thrown: unknown): thrown is Error =>
  thrown instanceof Error && 'syscall' in thrown && 'errno' in thrown;
