// One request and its whole answer, for the HTTP client that calls back. Nothing is heard after the end.
import type { Dispatcher } from 'undici';
import type { UpstreamHeaders } from './retry-after.ts';

export interface EgressAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: UpstreamHeaders;
  readonly body: Buffer;
}

/** An answer larger than its limit, or one that never begins. */
export class EgressBroken extends Error {
  override readonly name = 'EgressBroken';
  readonly reason: 'too_large' | 'informational';

  constructor(reason: 'too_large' | 'informational') {
    super(reason);
    this.reason = reason;
  }
}

const INFORMATIONAL_MAX = 16;

export class EgressExchange implements Dispatcher.DispatchHandler {
  /** Rejects with what the client met, an `EgressBroken`, or the reason of the abort. */
  readonly answer: Promise<EgressAnswer>;
  readonly #settle: PromiseWithResolvers<EgressAnswer>;
  readonly #chunks: Buffer[] = [];
  #bytesLeft: number;
  #head: Omit<EgressAnswer, 'body'> | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #end: Error | undefined;
  #informational = 0;

  constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax;
    this.#settle = Promise.withResolvers<EgressAnswer>();
    this.answer = this.#settle.promise;
  }

  get hasHead(): boolean {
    return this.#head !== undefined;
  }

  /** Destroys the socket; a request that waits for one never gets it. */
  abort(reason: unknown): void {
    this.#end ??= reason instanceof Error ? reason : new Error('stopped');
    this.#settle.reject(this.#end);
    this.#controller?.abort(this.#end);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#end !== undefined) controller.abort(this.#end);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
    if (status >= 200) this.#head = { status, headers };
    else if (++this.#informational > INFORMATIONAL_MAX) this.abort(new EgressBroken('informational'));
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    this.#bytesLeft -= bytes.length;
    if (this.#bytesLeft < 0) this.abort(new EgressBroken('too_large'));
    else this.#chunks.push(bytes);
  }

  onResponseEnd(): void {
    if (this.#head !== undefined) this.#settle.resolve({ ...this.#head, body: Buffer.concat(this.#chunks) });
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, fault: Error): void {
    this.#settle.reject(fault);
  }
}
