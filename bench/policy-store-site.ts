// A router's policies behind an HTTP store that can be told to fail, which two measurements need.
import { FakeHeir } from '../src/app/heir-fixture.ts';
import { openPolicies } from '../src/app/policies.ts';
import { openMemoryBus } from '../src/bus/memory.ts';
import { readConfig } from '../src/config/read.ts';
import { systemClock } from '../src/core/clock.ts';
import { Timers } from '../src/core/timers.ts';
import { openLog } from '../src/telemetry/log.ts';
import { Metrics } from '../src/telemetry/metrics.ts';
import { providers } from './policy-documents.ts';

const POLICIES = 100;

/** `policy-0` to `policy-99` of the tenant `t1`, each with ten providers. */
export async function openStoreSite() {
  await using opened = new AsyncDisposableStack();
  const store = opened.use(new FakeHeir());
  for (let n = 0; n < POLICIES; n++) store.write(nameOf(n), { version: '2.0', providers: providers(10, n) });
  const port = await store.listen();
  const timers = opened.use(new Timers(systemClock));
  const { config } = readConfig({
    env: {},
    flags: {
      heir_policy_store_enabled: true,
      heir_policy_store_url: `http://127.0.0.1:${port}`,
      heir_policy_store_poll: 20,
      heir_policy_store_request_timeout: 100,
      heir_policy_store_timeout: 500,
      'providers.list': Array.from({ length: 10 }, (_, n) => ({ id: `p${n}`, type: 'sim' })),
    },
  });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const ground = { config, timers, telemetry };
  const bus = opened.use(openMemoryBus(ground));
  const { replica } = opened.use(await openPolicies(ground, bus, { tenants: ['t1'], dataDir: undefined }));
  const open = opened.move();
  return {
    store,
    find: (n: number) => replica.find('t1', nameOf(n)),
    isAway: () => replica.ageMs(systemClock.nowMs()) > 0,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

const nameOf = (n: number): string => `policy-${n % POLICIES}`;
