// The only chance in a decision (policy 5.1).
import { finish, FNV_OFFSET, fold } from '../core/hash.ts';

const TWO_TO_32 = 4_294_967_296;

/** The draw named `label` for one attempt of a seed. */
export const draw = (seed: string, attempt: number, label: 'select' | 'canary' | 'shadow' | 'backoff'): number =>
  finish(fold(fold(fold(fold(fold(FNV_OFFSET, seed), ':'), String(attempt)), '|'), label)) / TWO_TO_32;
