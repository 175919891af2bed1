import { after, before } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import { testBus } from './conformance.ts';
import { openGround } from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';

let server: NatsServer;
before(async () => {
  server = await startNatsServer();
});
after(() => server.stop());

/** The suite wants an empty bus each time. */
async function deleteStreams(): Promise<void> {
  await using nc = await connect({ servers: server.url });
  const { streams } = await jetstreamManager(nc);
  for await (const { config } of streams.list()) await streams.delete(config.name);
}

testBus('NATS', async () => {
  await deleteStreams();
  const ground = openGround();
  const bus = await openNatsBus({ url: server.url, name: 'bus', ...ground });
  const peer = await openNatsBus({
    url: server.url,
    name: 'peer',
    timers: ground.timers,
    telemetry: openGround().telemetry,
  });
  return {
    bus,
    peer,
    metrics: () => ground.metrics.render(),
    async [Symbol.asyncDispose]() {
      await Promise.all([bus.drain(), peer.drain()]);
      ground[Symbol.dispose]();
    },
  };
});
