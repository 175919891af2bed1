// The simulated provider's own log: one line per chat request that arrived, on the disk before it is answered. It is the truth that
// a ledger is held against, so it is written by whoever was asked, not by whoever asked.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import type { SimulatedAnswer } from './simulated-answer.ts';
import type { SimulatedArrival } from './simulated-server.ts';

export interface ArrivalLine {
  /** Unix milliseconds. */
  readonly at_ms: number;
  /** `<assignment>:<attempt>` as the caller sent it; null without. */
  readonly call_id: string | null;
  readonly model: string | null;
  /** Of the answer that was begun. */
  readonly status: number;
  /** As reported to the caller; null where the script reports none. */
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
}

export interface ArrivalLog extends Disposable {
  write(arrival: SimulatedArrival): void;
}

/** Appends to the file. Throws what the system refuses. */
export function openArrivalLog(path: string): ArrivalLog {
  const file = openSync(path, 'a', 0o600);
  return {
    write(arrival) {
      writeSync(file, `${JSON.stringify(lineOf(arrival))}\n`);
      fsyncSync(file);
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}

export function lineOf({ atMs, callId, body, answer }: SimulatedArrival): ArrivalLine {
  const { prompt_tokens: input = null, completion_tokens: output = null } = usageIn(answer) ?? {};
  const { model } = isOpen(body) ? body : {};
  return {
    at_ms: atMs,
    call_id: callId ?? null,
    model: typeof model === 'string' ? model : null,
    status: answer.kind === 'refusal' ? answer.status : 200,
    input_tokens: input,
    output_tokens: output,
  };
}

interface ReportedUsage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
}

/** What the answer reports: a whole one in its body, a stream in one of its last events. */
function usageIn(answer: SimulatedAnswer): ReportedUsage | undefined {
  if (answer.kind === 'refusal') return undefined;
  const texts =
    answer.kind === 'whole'
      ? [answer.body]
      : answer.steps.flatMap((step) => (step.kind === 'event' ? [step.data] : [])).toReversed();
  for (const text of texts) {
    const usage = usageOf(text);
    if (usage !== undefined) return usage;
  }
  return undefined;
}

function usageOf(text: string): ReportedUsage | undefined {
  if (!text.includes('"usage":{')) return undefined;
  try {
    return (JSON.parse(text) as { readonly usage?: ReportedUsage }).usage;
  } catch {
    // Scripted garbage.
    return undefined;
  }
}

const isOpen = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
