// A subscription that outlives connections, and ends by draining: no new messages, then the handlers that run.
import type { Msg, Subscription as NatsSubscription } from '@nats-io/transport-node';
import type { Subscription } from './bus.ts';
import type { Running } from './handling.ts';
import type { NatsLink } from './nats-link.ts';

const DRAIN_WAIT_MS = 2_000;

/** `onMessage` is called from the reader of the connection. */
export function listen(
  link: NatsLink,
  on: { readonly subject: string; readonly queue: string | undefined; readonly running: Running },
  onMessage: (msg: Msg) => void,
): Subscription {
  const { subject, queue, running } = on;
  let current: NatsSubscription | undefined;
  const attached = link.eachConnection((nc) => {
    current = nc.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (fault, msg) => {
        if (fault !== null) return link.log.error('bus_subscription_refused', { route: subject, fault });
        try {
          onMessage(msg);
        } catch (thrown) {
          // A fault here would end the reader of the whole connection.
          link.log.error('bus_message_failed', { route: subject, fault: thrown });
        }
      },
    });
  });
  const drain = async (): Promise<void> => {
    attached[Symbol.dispose]();
    if (current !== undefined && !current.isClosed()) await link.within(DRAIN_WAIT_MS, current.drain());
    await running.idle();
  };
  return {
    get pending() {
      return running.count;
    },
    drain,
    [Symbol.asyncDispose]: drain,
  };
}
