// Points at which a test may end the process as a power cut would (worker 9). In production they do nothing.
import { atTurnEnd } from './turn.ts';

/** 1 to 6 in the life of a job, 7 to 10 in that of a call, 11 and 12 in the ledger. */
export type CrashPoints = (point: number) => void;

export const noCrash: CrashPoints = () => undefined;

/** After the terminal frame: what was sent in this turn must have left. */
const AFTER_SENDING: ReadonlySet<number> = new Set([10]);

/** SIGKILL to this process when the work comes to the point. */
export const crashAt =
  (chosen: number): CrashPoints =>
  (point) => {
    if (point !== chosen) return;
    const end = (): void => void process.kill(process.pid, 'SIGKILL');
    if (AFTER_SENDING.has(point)) atTurnEnd(() => atTurnEnd(end));
    else end();
  };
