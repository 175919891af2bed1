import { testBus } from './conformance.ts';
import { openGround } from './conformance-fixture.ts';
import { openMemoryBus } from './memory.ts';

testBus('memory', async () => {
  const ground = openGround();
  const bus = openMemoryBus(ground);
  return {
    bus,
    peer: bus,
    metrics: () => ground.metrics.render(),
    async [Symbol.asyncDispose]() {
      await bus.drain();
      ground[Symbol.dispose]();
    },
  };
});
