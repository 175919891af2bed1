import { openGround } from '../bus/conformance-fixture.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { testPolicyKv } from './policy-kv-fixture.ts';

testPolicyKv('the memory bus', async () => {
  const ground = openGround();
  const bus = openMemoryBus(ground);
  return {
    bus,
    peer: bus,
    async [Symbol.asyncDispose]() {
      await bus.drain();
      ground[Symbol.dispose]();
    },
  };
});
