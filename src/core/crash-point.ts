// Points at which a test may end the process as a power cut would (worker 9). In production they do nothing.
import { atTurnEnd } from './turn.ts';

/**
 * 1 to 6 in the life of a job, 7 to 10 in that of a call, 11 and 12 around the ledger's commit; 13 and 14 around the first
 * lease that a gateway writes, 15 and 16 around the second, which gives back; 17 and 18 around what the ledger settles; 19
 * and 20 around the router's word on a job.
 */
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
