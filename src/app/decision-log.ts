// The wiring of decision records: into the data directory, if there is one and if anything is to be recorded.
import { DecisionLog } from '../router/decision-log.ts';
import { policyDataDir } from './data-dir.ts';
import { openDecisionFiles } from './decision-files.ts';
import type { Ground } from './ground.ts';

/** Throws the system's fault if the directory cannot be made. */
export async function openDecisionLog({ config, timers, telemetry }: Ground): Promise<DecisionLog | undefined> {
  const dir = policyDataDir(config);
  const { sample } = config.decisions;
  if (dir === undefined || sample === 0) return undefined;
  return new DecisionLog({ sink: await openDecisionFiles({ dir, timers }), timers, telemetry, sample });
}
