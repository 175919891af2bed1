// How both buses run a handler: bounded while it is asynchronous, and never letting a fault of it out.
// H1. A handler that throws answers a request by the contract's `refuse`; the fault of an event handler is logged.
// H2. Only asynchronous handlings are counted: a synchronous one is over before the next message is looked at.
import type { EventContract, RequestContract } from '../contracts/contract.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { Received, SubscribeOptions } from './bus.ts';
import type { ContractCounters } from './bus-counters.ts';

const PENDING_MAX = 10_000;

/** The unfinished asynchronous handlings of one subscription. */
export class Running {
  readonly #max: number;
  #count = 0;
  #idle: (() => void)[] = [];

  constructor({ pendingMax = PENDING_MAX }: SubscribeOptions) {
    this.#max = pendingMax;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#max;
  }

  begin(): void {
    this.#count++;
  }

  end(): void {
    if (--this.#count > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  idle(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}

export interface HandlingDeps {
  readonly running: Running;
  readonly counters: ContractCounters;
  readonly log: Log;
}

/** Gives the handler's reply or the contract's refusal; neither throws nor rejects. */
export function requestHandling<T extends string, Q, R>(
  contract: RequestContract<T, Q, R>,
  handle: (request: Q, received: Received) => R | Promise<R>,
  { running, counters, log }: HandlingDeps,
): (request: Q, received: Received) => R | Promise<R> {
  const refused = (thrown: unknown, request: Q): R => {
    if (!(thrown instanceof BeamlineError))
      log.error('bus_handler_failed', { route: contract.template, fault: thrown });
    return contract.refuse(BeamlineError.from(thrown), request);
  };
  return (request, received) => {
    if (running.isFull) {
      counters.dropped('pending_max');
      return contract.refuse(new BeamlineError('service_overloaded', 'too many requests are in progress'), request);
    }
    try {
      const reply = handle(request, received);
      if (!(reply instanceof Promise)) return reply;
      running.begin();
      return reply.then(
        (value) => {
          running.end();
          return value;
        },
        (thrown: unknown) => {
          running.end();
          return refused(thrown, request);
        },
      );
    } catch (thrown) {
      return refused(thrown, request);
    }
  };
}

/** Runs the handler of an event; what it throws ends here. */
export function eventHandling<T extends string, M>(
  contract: EventContract<T, M>,
  handle: (message: M, received: Received) => void | Promise<void>,
  { running, counters, log }: HandlingDeps,
): (message: M, received: Received) => void {
  const failed = (thrown: unknown): void =>
    log.error('bus_handler_failed', { route: contract.template, fault: thrown });
  return (message, received) => {
    if (running.isFull) return counters.dropped('pending_max');
    try {
      const handled = handle(message, received);
      if (!(handled instanceof Promise)) return;
      running.begin();
      void handled.catch(failed).finally(() => running.end());
    } catch (thrown) {
      failed(thrown);
    }
  };
}
