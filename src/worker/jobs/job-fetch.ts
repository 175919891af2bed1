// The consumer of a pool's assignments, taken up and let go: while anybody holds it, nothing is fetched.
import type { Bus, Delivery, Subscription, Undeliverable } from '../../bus/bus.ts';
import { type ExecAssignment, execAssign } from '../../contracts/assignment.ts';
import { assignStream, workerAssignments } from '../../contracts/streams.ts';
import type { Log } from '../../telemetry/log.ts';

/** Why nothing is fetched. */
export type FetchHold = 'starting' | 'overload' | 'outbox' | 'store' | 'draining';

export interface JobFetchDeps {
  readonly bus: Bus;
  readonly log: Log;
  readonly pool: string;
  /** Unacknowledged deliveries that this process takes at a time. */
  readonly pendingMax: number;
  readonly handle: (delivery: Delivery<ExecAssignment>) => void;
  /** Deliveries of it that do not count against the limit. */
  readonly forgiven: (assignment: ExecAssignment) => Promise<number>;
  readonly undeliverable: (message: Undeliverable) => Promise<void>;
}

export class JobFetch {
  readonly #deps: JobFetchDeps;
  readonly #holds = new Set<FetchHold>(['starting']);
  #consumer: Subscription | undefined;
  /** Ends with the last change. */
  #changes: Promise<void> = Promise.resolve();

  constructor(deps: JobFetchDeps) {
    this.#deps = deps;
  }

  /** Whether deliveries come. */
  get isBound(): boolean {
    return this.#consumer !== undefined;
  }

  get holds(): readonly FetchHold[] {
    return [...this.#holds];
  }

  get isHeld(): boolean {
    return this.#holds.size > 0;
  }

  /** Resolves when nothing is fetched any more; what was delivered before stays with its handler. */
  hold(why: FetchHold): Promise<void> {
    this.#holds.add(why);
    return this.#change();
  }

  /** Resolves when deliveries come again, or are held for another reason. */
  free(why: FetchHold): Promise<void> {
    this.#holds.delete(why);
    return this.#change();
  }

  /** One change at a time, so that in the end what is matches what is wanted. */
  #change(): Promise<void> {
    this.#changes = this.#changes.then(() => this.#settle());
    return this.#changes;
  }

  async #settle(): Promise<void> {
    while (this.isHeld === (this.#consumer !== undefined)) {
      const { bus, log, pool, pendingMax, handle, forgiven, undeliverable } = this.#deps;
      try {
        if (this.#consumer === undefined) {
          // eslint-disable-next-line no-await-in-loop -- one change after the other
          this.#consumer = await bus.consume(
            {
              stream: assignStream(pool),
              consumer: workerAssignments(pool),
              message: execAssign.message,
              pendingMax,
              forgiven,
              undeliverable,
            },
            handle,
          );
        } else {
          const consumer = this.#consumer;
          this.#consumer = undefined;
          // eslint-disable-next-line no-await-in-loop -- as above
          await consumer.drain();
        }
        log.info('job_fetch', { state: this.isHeld ? 'held' : 'open', source: [...this.#holds].join(',') });
      } catch (fault) {
        log.error('job_fetch_failed', { fault });
        return;
      }
    }
  }
}
