import type { Checks } from './health.ts';

/** A running part of the system; disposing withdraws it, drains what runs and closes. */
export interface Role extends AsyncDisposable {
  readonly name: string;
  /** Pieces of work that the end cut short; known once it is disposed. Absent for a role that cuts none. */
  readonly abandoned?: number;
  /** Whether work may be sent to it, answered from memory. */
  readonly checks?: () => Checks;
  /** What it does now, for its operators: counts, levels and ids of the configuration; never a secret or a caller's word. */
  readonly state?: () => object;
}
