// The wiring of decision records: into the data directory if there is one, else a few into memory; none if none are wanted.
import { DecisionLog } from '../router/decision-log.ts';
import { DecisionRing } from '../router/decision-ring.ts';
import { policyDataDir } from './data-dir.ts';
import { openDecisionFiles } from './decision-files.ts';
import type { Ground } from './ground.ts';
import { keptDecisionFiles } from './kept-decision-files.ts';

/** In memory: whoever looks at a router finds what it did, and a router under load does not pay for it. */
const PER_SECOND_MAX = 50;

/** Throws the system's fault if the directory cannot be made. */
export async function openDecisionLog({ config, timers, telemetry }: Ground): Promise<DecisionLog | undefined> {
  const dir = policyDataDir(config);
  const { sample } = config.decisions;
  if (sample === 0) return undefined;
  if (dir === undefined) {
    const ring = new DecisionRing();
    return new DecisionLog({ sink: ring, kept: ring, timers, telemetry, sample, perSecondMax: PER_SECOND_MAX });
  }
  const sink = await openDecisionFiles({ dir, timers });
  return new DecisionLog({ sink, kept: keptDecisionFiles(dir), timers, telemetry, sample });
}
