// What the extensions of a policy cost a request (policy 11.4): a score for people, and the time that they add.
import { isMembers } from './shape.ts';

/** Time of one extension before anything was measured (policy 11.4). */
const UNMEASURED_MS = 30;
/** Score from which the author is warned. */
const WARN_FROM = 60;
/** Items of a stage that cost nothing extra. */
const STAGE_FREE = 2;

export interface Complexity {
  readonly extensions: { readonly pre: number; readonly validators: number; readonly post: number };
  /** 0 to 100. */
  readonly score: number;
  readonly level: 'low' | 'medium' | 'high' | 'very_high';
  readonly estimatedLatencyMs: number;
  readonly isWarned: boolean;
}

/** What an extension was measured to take; undefined: nothing is known. */
type Measured = (extensionId: string) => number | undefined;

/** Of any document, valid or not: what is no list counts as none. */
export function complexityOf(document: unknown, measured: Measured = () => undefined): Complexity {
  const itemsOf = (stage: string): readonly unknown[] => {
    const items = isMembers(document) ? document[stage] : undefined;
    return Array.isArray(items) ? items : [];
  };
  const timeOf = (item: unknown): number => {
    const id = isMembers(item) ? item['id'] : undefined;
    return (typeof id === 'string' ? measured(id) : undefined) ?? UNMEASURED_MS;
  };
  const [pre, validators, post] = [itemsOf('pre'), itemsOf('validators'), itemsOf('post')];
  const extensions = { pre: pre.length, validators: validators.length, post: post.length };
  const stages = Object.values(extensions);
  const n = stages.reduce((sum, items) => sum + items, 0);
  const crowded = stages.reduce((sum, items) => sum + Math.max(0, items - STAGE_FREE), 0);
  const score = Math.min(100, (n <= 4 ? 15 * n : Math.min(80, 60 + 5 * (n - 4))) + 5 * crowded);
  return {
    extensions,
    score,
    level: score < 30 ? 'low' : score < 60 ? 'medium' : score < 80 ? 'high' : 'very_high',
    // Validators run side by side, so all of them take the time of the slowest.
    estimatedLatencyMs:
      [...pre, ...post].reduce<number>((sum, item) => sum + timeOf(item), 0) + Math.max(0, ...validators.map(timeOf)),
    isWarned: score >= WARN_FROM,
  };
}
