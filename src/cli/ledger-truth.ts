// The simulated provider's own log as a witness: what arrived there, by the name that we gave each call.
import { readFileSync } from 'node:fs';
import type { KnownAttempt, Witness } from '../ledger/reconcile.ts';
import type { ArrivalLine } from '../provider/arrival-log.ts';
import { UsageError } from './exit.ts';
import type { Covers } from './provider-cover.ts';

const CALL_ID = /^(?<assignment>.+):(?<attempt>\d{1,9})$/;

export interface Truth extends Witness {
  readonly arrivals: number;
  /** Arrivals that nobody of ours named. */
  readonly strangers: number;
  /** Calls that arrived more than once. */
  readonly repeated: readonly string[];
}

/** `covers`: whose calls the log holds, all of them. A torn last line is left out: it was not answered. Throws wrong usage for a file that is no such log. */
export function readTruth(
  path: string,
  period: { readonly since: number; readonly until: number },
  covers: Covers,
): Truth {
  const lines = readFileSync(path, 'utf8').split('\n');
  const attempts = new Map<string, KnownAttempt>();
  const repeated: string[] = [];
  let strangers = 0;
  let arrivals = 0;
  for (const [index, line] of lines.entries()) {
    const arrival = line === '' ? undefined : arrivalIn(line, path, index === lines.length - 1 ? undefined : index + 1);
    if (arrival === undefined || arrival.at_ms < period.since || arrival.at_ms >= period.until) continue;
    arrivals++;
    const known = attemptOf(arrival);
    if (known === undefined) {
      strangers++;
      continue;
    }
    const key = `${known.assignmentId}:${known.attempt}`;
    if (attempts.has(key)) repeated.push(key);
    else attempts.set(key, known);
  }
  // An estimate says that the call may have left, so it need not have arrived: its worker died around that moment.
  const isComplete: Truth['isComplete'] = ({ provider, isEstimate }) => !isEstimate && covers(provider);
  return { attempts: [...attempts.values()], isComplete, arrivals, strangers, repeated };
}

/** Undefined for a torn line. */
function arrivalIn(line: string, path: string, number: number | undefined): ArrivalLine | undefined {
  try {
    const arrival = JSON.parse(line) as Partial<ArrivalLine>;
    if (typeof arrival.at_ms === 'number' && typeof arrival.status === 'number') return arrival as ArrivalLine;
  } catch {
    if (number === undefined) return undefined;
  }
  throw new UsageError(`${path}:${number ?? 'the last line'} is no line of a simulated provider's log`);
}

function attemptOf(arrival: ArrivalLine): KnownAttempt | undefined {
  const { assignment, attempt } = CALL_ID.exec(arrival.call_id ?? '')?.groups ?? {};
  if (assignment === undefined) return undefined;
  const { input_tokens: inputTokens, output_tokens: outputTokens } = arrival;
  return {
    assignmentId: assignment,
    attempt: Number(attempt),
    isMetered: arrival.status === 200,
    ...(inputTokens === null ? {} : { inputTokens }),
    ...(outputTokens === null ? {} : { outputTokens }),
  };
}
