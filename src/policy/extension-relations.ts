// What the items of all three stages say together, and beside the registry (policy 10.3, 11.5).
import type { Findings } from './issue.ts';
import type { ExtensionStage } from './policy.ts';
import { itemsOf } from './references.ts';

const CALL_MS_MAX = 5_000;
/** Of all stages; each has its own bound too. */
const ITEMS_MAX = 10;

const STAGES = [
  ['pre', 'pre'],
  ['validators', 'validator'],
  ['post', 'post'],
] as const;

/**
 * `known` are the extensions of the configuration by id, absent where nobody knows it. Others may be registered before
 * they are asked, so one that is not there is a warning, and one that is there and of another stage an error.
 */
export function checkExtensions(
  document: Readonly<Record<string, unknown>>,
  known: ReadonlyMap<string, ExtensionStage> | undefined,
  findings: Findings,
): void {
  let count = 0;
  for (const [key, stage] of STAGES) {
    const items = itemsOf(document[key], `/${key}`);
    if (count <= ITEMS_MAX && count + items.length > ITEMS_MAX) {
      findings.error(`/${key}`, 'too_many', `a policy has at most ${ITEMS_MAX} extensions in all`);
    }
    count += items.length;
    const seen = new Set<string>();
    for (const [path, { id, timeout_ms: timeoutMs }] of items) {
      if (typeof timeoutMs === 'number' && timeoutMs > CALL_MS_MAX) {
        findings.warning(`${path}/timeout_ms`, 'clamped', 'is lowered to 5 seconds');
      }
      if (typeof id !== 'string') continue;
      if (seen.has(id)) findings.error(`${path}/id`, 'duplicate', `extension '${id}' is listed twice`);
      seen.add(id);
      const configured = known?.get(id);
      if (configured !== undefined && configured !== stage) {
        findings.error(`${path}/id`, 'unknown_extension', `there is no ${stage} extension '${id}'`);
      } else if (known !== undefined && configured === undefined) {
        findings.warning(`${path}/id`, 'unknown_extension', `the configuration has no '${id}': it must be registered`);
      }
    }
  }
}
