// What decisions take while the HTTP store is down, against the same decisions while it answers (policy 12.3). The two states
// take turns, so that what else the machine does is in both; the ratio is the median of those of all turns.
import { setImmediate as turn } from 'node:timers/promises';
import { decide } from '../src/policy/decide.ts';
import { until } from '../test/until.ts';
import { BREAKERS_ON, requests } from './policy-documents.ts';
import type { Figures } from './policy-figures.ts';
import { openStoreSite } from './policy-store-site.ts';
import { percentile, spreadOf } from './statistics.ts';

/** Long enough for the client's breaker, which asks a store that failed again after ten seconds, later after more. */
const LONG_MS = 120_000;

export interface Turns {
  readonly count: number;
  /** Of each state in each turn. */
  readonly ms: number;
}

export async function measureOutage({ count, ms }: Turns = { count: 5, ms: 2_000 }): Promise<Figures> {
  await using site = await openStoreSite();
  const facts = requests(1_000);
  const p99 = async (): Promise<number> => {
    const times: number[] = [];
    const untilMs = performance.now() + ms;
    for (let n = 0; performance.now() < untilMs; n++) {
      const one = facts[n % facts.length];
      if (one === undefined) break;
      const wantedMs = performance.now();
      // eslint-disable-next-line no-await-in-loop -- a turn of the loop, with what the source does in it
      await turn();
      const { kind } = decide(site.find(n), one, BREAKERS_ON, false);
      times.push(performance.now() - wantedMs);
      if (kind !== 'chosen') throw new Error('a decision failed');
    }
    return percentile(
      times.toSorted((a, b) => a - b),
      0.99,
    );
  };
  const well: number[] = [];
  const down: number[] = [];
  await p99();
  for (let n = 0; n < count; n++) {
    /* eslint-disable no-await-in-loop -- one state after the other */
    site.store.quirk = () => false;
    await until('the store to be there', () => !site.isAway(), LONG_MS);
    well.push(await p99());
    site.store.quirk = (_, response) => {
      response.destroy();
      return true;
    };
    await until('the store to be down', site.isAway, LONG_MS);
    down.push(await p99());
    /* eslint-enable no-await-in-loop */
  }
  return {
    'decide-well': spreadOf(well).median,
    'decide-down': spreadOf(down).median,
    'decide-down-ratio': spreadOf(down.map((value, n) => value / (well[n] ?? Number.NaN))).median,
  };
}
