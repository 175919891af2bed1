// Answers an order in one piece: the provider's own body, written through.
import type { EndFrame } from '../contracts/frames.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Call, Owner } from './call.ts';
import type { Exchange, Exchanges, Order, Reader } from './order.ts';
import { routedHeaders } from './routed-headers.ts';

export class WholeAnswer implements Reader, Owner {
  readonly #call: Call;
  readonly #exchange: Exchange;

  constructor(call: Call, exchanges: Exchanges, order: Order) {
    this.#call = call;
    call.owner = this;
    this.#exchange = exchanges.open(order, this);
    call.routed = this.#exchange.routed;
  }

  chunk(): void {
    // A worker may stream towards a caller who did not ask for it; the end carries the whole.
  }

  end({ raw, output }: EndFrame): void {
    const body = raw ?? (output === undefined ? undefined : JSON.stringify(output));
    if (body === undefined) {
      this.fail(new BeamlineError('provider_protocol_error', 'The answer has no content.'));
      return;
    }
    const headers = routedHeaders(this.#exchange.routed, true);
    headers.push('content-type', 'application/json');
    this.#call.send(200, headers, body);
  }

  fail(error: BeamlineError): void {
    this.#call.fail(error);
  }

  gone(): void {
    this.#exchange.cancel('client_disconnected');
  }

  abort(error: BeamlineError): void {
    this.#exchange.cancel('shutdown');
    this.#call.fail(error, true);
  }
}
