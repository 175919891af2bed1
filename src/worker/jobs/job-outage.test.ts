import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus, KeyValue } from '../../bus/bus.ts';
import { BeamlineError } from '../../core/errors.ts';
import { attemptBucket } from './attempt-markers.ts';
import { openJobs, settled } from './job-fixture.ts';

/** The bus, whose bucket of marks takes no writes of a kind while `isFull` says so. */
function refusingMarks(bus: Bus, refused: readonly (keyof KeyValue)[], isFull: () => boolean): Bus {
  const refusing = (bucket: KeyValue): KeyValue => {
    const write = <T>(run: () => Promise<T>): Promise<T> =>
      isFull() ? Promise.reject(new BeamlineError('unavailable', 'the store is full')) : run();
    return new Proxy(bucket, {
      get(target, name: keyof KeyValue) {
        if (!refused.includes(name)) {
          const value: unknown = target[name];
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        }
        if (name === 'put') return (key: string, value: string) => write(() => target.put(key, value));
        return (key: string, value: string, revision: number) => write(() => target.update(key, value, revision));
      },
    });
  };
  return new Proxy(bus, {
    get(target, name: keyof Bus) {
      const value: unknown = target[name];
      if (name !== 'openBucket') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      return async (spec: typeof attemptBucket) => {
        const bucket = await target.openBucket(spec);
        return spec.name === attemptBucket.name ? refusing(bucket) : bucket;
      };
    },
  });
}

for (const [what, refused] of [
  ['that cannot be written', ['put', 'update']],
  ['that cannot be made, though what is there can be written over,', ['update']],
] as const) {
  test(`marks ${what} use up no deliveries: the job runs when they can be again`, async () => {
    let isFull = true;
    await using jobs = await openJobs({ through: (bus) => refusingMarks(bus, refused, () => isFull) });
    await jobs.assign({ job: { type: 'test.hand', payload: { effect: 'external' } } });
    const pass = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second++) {
        jobs.pass(1_000);
        // eslint-disable-next-line no-await-in-loop -- time goes by
        await settled();
      }
    };
    await pass(120);
    assert.deepEqual([jobs.executions.length, jobs.heard.results], [0, []]);
    isFull = false;
    await pass(5);
    assert.equal(jobs.executions.length, 1);
  });
}
