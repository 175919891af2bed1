// Where an attempt of a job goes: to a provider that the policy decides on, or to any worker where the task is a block.
import { DEFAULT_POOL } from '../../contracts/assignment.ts';
import type { Expectations } from '../../policy/expectations.ts';
import type { Target } from '../../policy/policy.ts';
import type { Marks } from '../assignment-of.ts';
import { bareTarget } from './job-history.ts';

const ROUTED = 'ai.';
/** Names of the same tasks (worker 11). */
const ALIASES: ReadonlySet<string> = new Set(['chat', 'chat.completion', 'completion', 'text.completion', 'embedding']);
/** What executes a block (worker 11). */
const BLOCK_PROVIDER = 'worker';

/** Whether a policy's providers serve the type. */
export const isRouted = (type: string): boolean => type.startsWith(ROUTED) || ALIASES.has(type);

export interface Chosen extends Expectations, Marks {
  readonly target: Target;
  readonly model: string | undefined;
  readonly reason: string;
  readonly priority: number;
}

export const blockTarget: Target = { ...bareTarget(BLOCK_PROVIDER), pool: DEFAULT_POOL };
export const blockChoice: Chosen = { target: blockTarget, model: undefined, reason: 'block', priority: 50 };
