// What the items of all three stages say together, and beside the registry (policy 10.3, 11.5).
import type { ExtensionType } from '../contracts/extension-descriptor.ts';
import type { Findings, Issue } from './issue.ts';
import type { SettingsSchema } from './settings-schema.ts';
import { isMembers } from './shape.ts';
import { itemsOf } from './references.ts';

const CALL_MS_MAX = 5_000;
/** Of all stages; each has its own bound too. */
const ITEMS_MAX = 10;

const STAGES = [
  ['pre', 'pre'],
  ['validators', 'validator'],
  ['post', 'post'],
] as const;

/** What a policy says is held against it. */
interface KnownExtension {
  readonly type: ExtensionType;
  /** Under the settings of a policy's item. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly settings?: SettingsSchema | undefined;
}

/** Those of the configuration and those that are registered beside them, by id. */
export interface KnownExtensions {
  get(id: string): KnownExtension | undefined;
}

/**
 * `known` is absent where nobody knows them. One may be registered before it is asked, so one that is not there is a
 * warning, and one that is there and of another stage an error.
 */
export function checkExtensions(
  document: Readonly<Record<string, unknown>>,
  known: KnownExtensions | undefined,
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
    for (const [path, { id, config, timeout_ms: timeoutMs }] of items) {
      if (typeof timeoutMs === 'number' && timeoutMs > CALL_MS_MAX) {
        findings.warning(`${path}/timeout_ms`, 'clamped', 'is lowered to 5 seconds');
      }
      if (typeof id !== 'string') continue;
      if (seen.has(id)) findings.error(`${path}/id`, 'duplicate', `extension '${id}' is listed twice`);
      seen.add(id);
      const extension = known?.get(id);
      if (extension === undefined) {
        if (known !== undefined) findings.warning(`${path}/id`, 'unknown_extension', absent(id));
      } else if (extension.type !== stage) {
        findings.error(`${path}/id`, 'unknown_extension', `there is no ${stage} extension '${id}'`);
      } else if (config === undefined || isMembers(config)) {
        const tell = (at: string, message: string): void => findings.error(at, 'invalid_config', message);
        extension.settings?.check({ ...extension.config, ...config }, `${path}/config`, tell);
      }
    }
  }
}

/** Nothing is held against them. */
export const NO_EXTENSIONS: KnownExtensions = { get: () => undefined };

/** Whether another registry could make a difference: some of it is not about the document alone. */
export const isOfExtensions = (issues: readonly Pick<Issue, 'code'>[]): boolean =>
  issues.some(({ code }) => code === 'unknown_extension' || code === 'invalid_config');

const absent = (id: string): string => `no extension '${id}' is registered, nor does the configuration have it`;
