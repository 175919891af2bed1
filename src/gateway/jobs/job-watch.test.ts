import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/until.ts';
import type { Entry, KeyValue } from '../../bus/bus.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import { assignmentIdOf, jobBucket, jobKey, type JobState } from '../../contracts/job.ts';
import { ManualClock } from '../../core/clock.ts';
import { BeamlineError } from '../../core/errors.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { followJob } from './follow-job.ts';
import type { JobRecord } from './job-records.ts';
import { JobWatch } from './job-watch.ts';
import { WaitingPlaces } from './waiting-places.ts';

const assignment_id = assignmentIdOf('acme', 'job_1');
const key = jobKey('acme', assignment_id, 'state');

/** `breaks` watches end with a fault before one goes on. */
async function open(breaks = 0) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const log = openLog('silent', { write: () => undefined });
  const bus = openMemoryBus({ timers, telemetry: { log, metrics: new Metrics() } });
  const bucket = await bus.openBucket(jobBucket);
  let watches = 0;
  const jobs: KeyValue = {
    ...bound(bucket),
    watch(signal, pattern, after) {
      if (++watches <= breaks) throw new BeamlineError('service_overloaded', 'a watcher of a bucket lags');
      return bucket.watch(signal, pattern, after);
    },
  };
  const watch = new JobWatch({ jobs, timers, log });
  return {
    jobs,
    watch,
    timers,
    watches: () => watches,
    pass(ms: number): void {
      clock.advance(ms);
      timers.tick();
    },
    write: (seqs: number, status: JobState['status'], more: Partial<JobState> = {}) =>
      bucket.put(key, JSON.stringify(stateOf(seqs, status, more))),
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
      await bus.drain();
    },
  };
}

const bound = (bucket: KeyValue): KeyValue => ({
  get: (name) => bucket.get(name),
  writtenMs: (name) => bucket.writtenMs(name),
  put: (name, value) => bucket.put(name, value),
  putPassing: (name, value) => bucket.putPassing(name, value),
  update: (name, value, revision) => bucket.update(name, value, revision),
  delete: (name) => bucket.delete(name),
  erase: (name) => bucket.erase(name),
  forgetReplaced: (name) => bucket.forgetReplaced(name),
  entries: (pattern) => bucket.entries(pattern),
  scan: (pattern) => bucket.scan(pattern),
  keys: (pattern) => bucket.keys(pattern),
  status: () => bucket.status(),
  watch: (signal, pattern, after) => bucket.watch(signal, pattern, after),
});

const stateOf = (seqs: number, status: JobState['status'], more: Partial<JobState> = {}): JobState => ({
  version: '2',
  job_id: 'job_1',
  assignment_id,
  tenant_id: 'acme',
  status,
  attempt: 0,
  attempts: [],
  cost_micro_usd: 0,
  transitions: Array.from({ length: seqs }, (_, n) => ({ seq: n + 1, status: 'queued', at_ms: 1, attempt: 0 })),
  created_at_ms: 1,
  updated_at_ms: 1,
  ...more,
});

const RECORD: JobRecord = {
  request: {
    job_id: 'job_1',
    tenant_id: 'acme',
    assignment_id,
    created_at_ms: 1,
    expires_at_ms: 2,
    request: { version: '2', request_id: 'r', tenant_id: 'acme', task: { type: 'a' } },
  },
  state: undefined,
};

test('a watch is opened by the first listener, and closed a while after the last one', async () => {
  await using world = await open();
  const { watch } = world;
  assert.equal(watch.isOpen, false);
  const heard: Entry[] = [];
  const one = watch.on(key, (entry) => heard.push(entry));
  const two = watch.on(key, (entry) => heard.push(entry));
  await world.write(1, 'queued');
  await until('both hear', () => heard.length === 2);
  one[Symbol.dispose]();
  two[Symbol.dispose]();
  world.pass(59_000);
  assert.equal(watch.isOpen, true);
  watch.on(key, () => undefined)[Symbol.dispose]();
  world.pass(59_000);
  assert.equal(watch.isOpen, true, 'somebody came back meanwhile');
  world.pass(60_000);
  await until('the end', () => !watch.isOpen);
  assert.equal(world.watches(), 1);
});

test('a watch tells its listeners what they wait for, and of what stood before it nothing else', async () => {
  await using world = await open();
  await world.write(1, 'queued');
  await world.jobs.put(jobKey('acme', 'another', 'state'), '{}');
  const heard: string[] = [];
  const each: string[] = [];
  let begun = 0;
  world.watch.onEach({ hear: (entry) => each.push(entry.key), begun: () => void begun++ });
  world.watch.on(key, (entry) => heard.push(entry.key));
  await until('the watch', () => world.watches() === 1);
  assert.deepEqual([heard, begun], [[key], 1]);
  each.length = 0;
  await world.jobs.put(jobKey('acme', 'another', 'state'), '{}');
  await until('the change', () => each.length > 0);
  assert.deepEqual(each, [jobKey('acme', 'another', 'state')]);
  world.watch.onEach({ hear: () => undefined, begun: () => void begun++ });
  assert.equal(begun, 2, 'who comes later may begin at once');
});

test('a watch that breaks begins anew, and what was written meanwhile is heard', async () => {
  await using world = await open(2);
  const heard: Entry[] = [];
  world.watch.on(key, (entry) => heard.push(entry));
  await until('the first watch', () => world.watches() === 1);
  await world.write(1, 'queued');
  await until('the third watch', () => {
    world.pass(1_000);
    return heard.length === 1;
  });
  assert.equal(world.watches(), 3);
});

test('a job is followed in order and once, though the watch is broken for good', async () => {
  await using world = await open(Number.POSITIVE_INFINITY);
  const told: string[] = [];
  const following = followJob({ jobs: world.jobs, watch: world.watch, timers: world.timers }, RECORD, (state) =>
    told.push(state.status),
  );
  await world.write(2, 'running');
  const look = (count: number) =>
    until(`${count} states`, () => {
      world.pass(5_000);
      return told.length === count;
    });
  await look(1);
  await world.write(2, 'running', { tags: ['annotated'] });
  await world.write(3, 'succeeded');
  await look(2);
  assert.deepEqual(told, ['running', 'succeeded']);
  following[Symbol.dispose]();
  await until('nobody listens', () => {
    world.pass(60_000);
    return !world.watch.isOpen;
  });
});

test('places are given back once, for the tenant and for the process', () => {
  const places = new WaitingPlaces({ perTenant: 2, perProcess: 3 });
  const first = places.take('a');
  assert.ok(first && places.take('a'));
  assert.equal(places.take('a'), undefined);
  const other = places.take('b');
  assert.ok(other);
  assert.equal(places.take('c'), undefined, 'the process is full');
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(places.taken, 2);
  assert.ok(places.take('c'));
  assert.equal(places.take('a'), undefined);
});
