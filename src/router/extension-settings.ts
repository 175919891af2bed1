// The settings that an extension is asked with: those of a policy's item over those of the registry, of the schema that
// the extension has (policy 10.1). Judged once for each pair, since both change seldom and requests come often.
import type { ExtensionItem } from '../policy/policy.ts';
import type { Descriptor } from './extensions.ts';

export type ExtensionSettings =
  | { readonly kind: 'valid'; readonly config: Readonly<Record<string, unknown>> }
  | { readonly kind: 'invalid'; readonly message: string };

const judged = new WeakMap<Descriptor, WeakMap<ExtensionItem, ExtensionSettings>>();

export function settingsFor(descriptor: Descriptor, item: ExtensionItem): ExtensionSettings {
  let ofItems = judged.get(descriptor);
  if (ofItems === undefined) judged.set(descriptor, (ofItems = new WeakMap()));
  let settings = ofItems.get(item);
  if (settings === undefined) ofItems.set(item, (settings = judge(descriptor, item)));
  return settings;
}

function judge({ config: defaults, settings }: Descriptor, item: ExtensionItem): ExtensionSettings {
  const config = Object.freeze({ ...defaults, ...item.config });
  let fault: string | undefined;
  settings?.check(config, '/config', (path, message) => (fault ??= `${path} ${message}`));
  if (fault === undefined) return { kind: 'valid', config };
  return { kind: 'invalid', message: `the settings of ${item.id} do not fit its schema: ${fault}` };
}
