// A process of its own for `npm run bench:policy`: takes the policies of many tenants from the folder or the HTTP store that its
// arguments name, and prints how long that took, how much memory it added, and what a lookup costs. Needs `--expose-gc`.
/* eslint-disable no-console -- a command of its own */
import { openPolicies } from '../src/app/policies.ts';
import { openMemoryBus } from '../src/bus/memory.ts';
import { readConfig } from '../src/config/read.ts';
import { systemClock } from '../src/core/clock.ts';
import { Timers } from '../src/core/timers.ts';
import { openLog } from '../src/telemetry/log.ts';
import { Metrics } from '../src/telemetry/metrics.ts';
import { percentile } from './statistics.ts';

const LOOKUPS = 500_000;
const MIB = 2 ** 20;

const [source = '', where = '', count = '0'] = process.argv.slice(2);
const tenants = Array.from({ length: Number(count) }, (_, n) => `tenant-${n}`);

/** Memory once what is not needed has gone: what is held, and what the system has given, free pages included. */
function memory(): { readonly heldMib: number; readonly residentMib: number } {
  if (globalThis.gc === undefined) throw new Error('start it with --expose-gc');
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heldMib: (heapUsed + external) / MIB, residentMib: rss / MIB };
}

using timers = new Timers(systemClock);
const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
const list = Array.from({ length: 10 }, (_, n) => ({ id: `p${n}`, type: 'sim' }));
const from =
  source === 'files'
    ? { 'policy.dir': where }
    : { heir_policy_store_enabled: true, heir_policy_store_url: where, heir_policy_store_timeout: 60_000 };
const { config } = readConfig({ env: {}, flags: { ...from, 'providers.list': list } });
const ground = { config, timers, telemetry };
await using bus = openMemoryBus(ground);
const before = memory();
const startMs = performance.now();
await using opened = await openPolicies(ground, bus, { tenants, dataDir: undefined });
const seconds = (performance.now() - startMs) / 1_000;
const after = memory();
const us = new Float64Array(LOOKUPS);
for (let n = 0; n < LOOKUPS; n++) {
  const tenant = tenants[(n * 7_919) % tenants.length] ?? '';
  const start = process.hrtime.bigint();
  const { targets } = opened.replica.find(tenant, 'main');
  us[n] = Number(process.hrtime.bigint() - start) / 1_000;
  if (targets.length !== 10) throw new Error(`${tenant} has another policy`);
}
const figures = [
  ['s', seconds],
  ['mib', after.heldMib - before.heldMib],
  ['resident-mib', after.residentMib - before.residentMib],
  ['lookup-p99', percentile(us.toSorted(), 0.99)],
].map(([name, value]) => [`${source}-${name}`, value]);
console.log(`figures ${JSON.stringify(Object.fromEntries(figures))}`);
