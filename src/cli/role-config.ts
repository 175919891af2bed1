// What every command that runs roles has in common: where its settings come from, and `--check-config`.
import { renderConfig } from '../config/describe.ts';
import { environment } from '../config/environment.ts';
import { type EffectiveConfig, readConfig } from '../config/read.ts';
import { print } from './print.ts';

export const roleArgs = {
  config: { type: 'string', valueHint: 'file', description: 'YAML file of settings' },
  nats: { type: 'string', valueHint: 'url', description: 'NATS servers, comma separated (nats.url)' },
  'check-config': { type: 'boolean', default: false, description: 'Print the effective settings and exit' },
} as const;

export interface RoleArgs {
  readonly config?: string | undefined;
  readonly nats?: string | undefined;
  readonly 'check-config'?: boolean | undefined;
}

/**
 * The settings of a role; undefined when `--check-config` asked for them only, and they are printed.
 * `flags` and `defaults` are by dotted path. Throws as `readConfig` does.
 */
export function readRoleConfig(
  args: RoleArgs,
  more: { flags?: Readonly<Record<string, unknown>>; defaults?: Readonly<Record<string, unknown>> } = {},
): EffectiveConfig | undefined {
  const effective = readConfig({
    flags: { 'nats.url': args.nats, ...more.flags },
    env: environment,
    file: args.config,
    defaults: more.defaults ?? {},
  });
  if (args['check-config'] !== true) return effective;
  print(renderConfig(effective));
  return undefined;
}
