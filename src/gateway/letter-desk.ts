// Dead letters for the callers of one gateway: a tenant sees and moves its own, and all replays together keep the pace.
// A letter that names no tenant is nobody's here; `beamline dlq` has it.
import type { Bus } from '../bus/bus.ts';
import { type LetterLine, lineOf, removeLetter, storedAt } from '../bus/letter-box.ts';
import { type LetterPage, letterPage } from '../bus/letter-pages.ts';
import { REPLAY_GAP_MS, replayAll, type Replayed, whyNotReplayed } from '../bus/letter-replay.ts';
import { decode } from '../contracts/codec.ts';
import { deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';

/** Nobody waits longer for the replays of others. */
const WAIT_MS_MAX = 5_000;
const SEQ = /^[1-9]\d{0,15}$/;

export interface LetterFilter {
  readonly subject?: string | undefined;
  readonly class?: string | undefined;
  readonly code?: string | undefined;
  /** When it was given up: from the one, and before the other. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Those that were never replayed. */
  readonly isUntouched?: boolean | undefined;
}

export interface PageWanted {
  readonly filter: LetterFilter;
  readonly limit: number;
  readonly below?: number | undefined;
}

/** `untried`: the bus failed at the letter or at one before it. */
export type Outcome = Replayed | { readonly kind: 'untried'; readonly code: string };

export interface LetterDesk {
  page(tenantId: string, wanted: PageWanted): Promise<LetterPage>;
  /** Throws `not_found`, the same for a foreign letter as for one that is not there. */
  find(tenantId: string, id: string): Promise<{ readonly line: LetterLine; readonly letter: DlqEnvelope }>;
  /** False if somebody was faster. */
  discard(line: LetterLine): Promise<boolean>;
  whyNot(line: LetterLine, isForced: boolean): Promise<string | undefined>;
  /** In the order given. Throws `service_overloaded`, and what the bus throws for the first of them. */
  replay(lines: readonly LetterLine[], isForced: boolean): Promise<readonly Outcome[]>;
}

export function openLetterDesk(bus: Bus, timers: Timers): LetterDesk {
  const { clock } = timers;
  let freeAtMs = 0;
  const waitForTurn = async (count: number): Promise<void> => {
    const nowMs = clock.nowMs();
    const startMs = Math.max(nowMs, freeAtMs);
    if (startMs - nowMs > WAIT_MS_MAX) throw overloaded();
    freeAtMs = startMs + count * REPLAY_GAP_MS;
    if (startMs > nowMs) await timers.sleep(startMs - nowMs);
  };
  return {
    page: (tenantId, { filter, limit, below }) =>
      letterPage(bus, { below, limit, fits: (line) => line.tenant_id === tenantId && isWanted(line, filter) }),
    async find(tenantId, id) {
      const stored = SEQ.test(id) ? await storedAt(bus, Number(id)) : undefined;
      if (stored === undefined) throw noLetter();
      const line = lineOf(stored);
      if ('fault' in line || line.tenant_id !== tenantId) throw noLetter();
      return { line, letter: decode(deadLetter.message, stored.body) };
    },
    discard: ({ seq }) => removeLetter(bus, seq),
    whyNot: ({ seq }, isForced) => whyNotReplayed(bus, seq, { isForced }),
    async replay(lines, isForced) {
      await waitForTurn(lines.length);
      const outcomes: Outcome[] = [];
      const paced = { clock, isForced, pause: (ms: number) => timers.sleep(ms) };
      try {
        for await (const [, outcome] of replayAll(bus, lines, paced)) outcomes.push(outcome);
      } catch (fault) {
        if (outcomes.length === 0) throw fault;
        const { code } = BeamlineError.from(fault);
        for (let rest = lines.length - outcomes.length; rest > 0; rest--) outcomes.push({ kind: 'untried', code });
      }
      return outcomes;
    },
  };
}

export const noLetter = (): BeamlineError => new BeamlineError('not_found', 'The tenant has no such dead letter.');

const overloaded = (): BeamlineError =>
  new BeamlineError('service_overloaded', 'Too many dead letters are being replayed.', {
    details: { reason: 'replays' },
    retryAfterMs: WAIT_MS_MAX,
  });

const isWanted = ({ original_subject, error, delivery, replays }: LetterLine, filter: LetterFilter): boolean =>
  (filter.subject === undefined || original_subject === filter.subject) &&
  (filter.class === undefined || error.class === filter.class) &&
  (filter.code === undefined || error.code === filter.code) &&
  (filter.sinceMs === undefined || delivery.last_seen_ms >= filter.sinceMs) &&
  (filter.untilMs === undefined || delivery.last_seen_ms < filter.untilMs) &&
  (filter.isUntouched !== true || replays === 0);
