// The one reader of settings: defaults, then the file, the environment, the command line; the last one wins.
// Everything wrong is told at once, one line per fault, so that one start shows all that there is to mend.
import { Type, type TSchema } from 'typebox';
import { BeamlineError } from '../core/errors.ts';
import type { Environment } from './environment.ts';
import { nearest } from '../core/nearest.ts';
import { brokenRules } from './rules.ts';
import { type Config, configSchema } from './schema.ts';
import { type Fault, isTree, settle } from './settle.ts';
import { readYamlFile, type YamlFile } from './yaml-file.ts';

export type Source = 'default' | 'file' | 'environment' | 'flag';

export interface ConfigInputs {
  /** Values of the command line by dotted path; texts are read as the environment's are. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env: Environment;
  /** Path of a YAML file. */
  readonly file?: string | undefined;
  /** What replaces declared defaults, by dotted path: weaker than anything that an operator said. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

export interface EffectiveConfig {
  readonly config: Config;
  /** Where each setting came from, by dotted path. */
  readonly sources: ReadonlyMap<string, Source>;
}

const PREFIX = 'BEAMLINE_';
/** Names that others use for our settings. */
const FOREIGN_NAMES: Readonly<Record<string, string>> = { NATS_URL: 'nats.url' };

/** Throws `validation_failed` with `details.reason` `configuration`; the message has one line per fault. */
export function readConfig({ flags = {}, env, file, defaults = {} }: ConfigInputs): EffectiveConfig {
  const yaml = file === undefined ? undefined : readYamlFile(file);
  const lines: string[] = [...(yaml?.faults ?? [])];
  const tree: unknown = isTree(yaml?.tree) ? { ...yaml.tree } : (yaml?.tree ?? {});
  const origins = new Map<string, string>();
  const sources = new Map<string, Source>();
  const faults: Fault[] = [];

  for (const path of settings.keys()) sources.set(path, has(tree, path) ? 'file' : 'default');
  for (const [path, value] of Object.entries(defaults)) if (sources.get(path) === 'default') put(tree, path, value);
  for (const [name, path] of [...Object.entries(FOREIGN_NAMES), ...environmentNames]) {
    const value = env[name];
    if (value === undefined || value === '') continue;
    put(tree, path, readText(path, value));
    origins.set(path, name);
    sources.set(path, 'environment');
  }
  for (const [path, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    if (!settings.has(path)) {
      faults.push(unknownSetting(path));
      continue;
    }
    put(tree, path, typeof value === 'string' ? readText(path, value) : value);
    origins.set(path, 'command line');
    sources.set(path, 'flag');
  }

  lines.push(...misspelt(env));
  const config = settle(configSchema, tree, [], faults) as Config;
  if (faults.length === 0) faults.push(...brokenRules(config));
  lines.push(...faults.map((fault) => render(fault, origins, yaml)));
  if (lines.length > 0) {
    throw new BeamlineError('validation_failed', lines.join('\n'), {
      details: { reason: 'configuration', faults: lines },
    });
  }
  return { config: deepFreeze(config), sources };
}

/** The settings by dotted path; a list or a map is one setting. */
export const settings: ReadonlyMap<string, TSchema> = new Map(leaves(configSchema, ''));

function* leaves(schema: TSchema, path: string): Generator<readonly [string, TSchema]> {
  if (!Type.IsObject(schema)) return yield [path, schema];
  for (const [key, property] of Object.entries(schema.properties))
    yield* leaves(property, path === '' ? key : `${path}.${key}`);
}

const environmentName = (path: string): string => PREFIX + path.toUpperCase().replaceAll('.', '_');

const environmentNames: ReadonlyMap<string, string> = new Map(
  [...settings].filter(([, schema]) => !Type.IsArray(schema)).map(([path]) => [environmentName(path), path]),
);

function readText(path: string, value: string): unknown {
  const schema = settings.get(path);
  if (Type.IsBoolean(schema) && /^(true|false)$/.test(value)) return value === 'true';
  if (Type.IsNumber(schema) && /^\d{1,15}(\.\d{1,15})?$/.test(value)) return Number(value);
  return Type.IsInteger(schema) && /^-?\d{1,15}$/.test(value) ? Number(value) : value;
}

const unknownSetting = (path: string): Fault => {
  const guess = nearest(path, settings.keys());
  return {
    path: path.split('.'),
    message: `is not known${guess === undefined ? '' : `; did you mean ${guess}?`}`,
    isKey: true,
  };
};

/** A name that is two letters from one of ours is a slip; others with our prefix belong to secrets or to the platform. */
function* misspelt(env: Environment): Generator<string> {
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || environmentNames.has(name)) continue;
    const guess = nearest(name, environmentNames.keys(), 2);
    if (guess !== undefined) yield `${name} is not known; did you mean ${guess}?`;
  }
}

function render(
  { path, message, isKey = false }: Fault,
  origins: ReadonlyMap<string, string>,
  yaml: YamlFile | undefined,
): string {
  const dotted = path.reduce<string>(
    (all, step) => (typeof step === 'number' ? `${all}[${step}]` : `${all}${all && '.'}${step}`),
    '',
  );
  const origin = origins.get(dotted) ?? yaml?.locate(path, isKey);
  return `${origin === undefined ? '' : `${origin} `}${dotted === '' ? 'the file' : printable(dotted)} ${message}`;
}

const printable = (text: string): string => JSON.stringify(text.slice(0, 200)).slice(1, -1);

function has(tree: unknown, path: string): boolean {
  const value = path
    .split('.')
    .reduce<unknown>((here, key) => (isTree(here) && Object.hasOwn(here, key) ? here[key] : undefined), tree);
  return value !== undefined && value !== null;
}

/**
 * Sets a value. Sections on the way are copied, as YAML aliases may share them; where the file has something else
 * than a section there, that fault is told instead.
 */
function put(tree: unknown, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let here = tree;
  for (const key of keys) {
    if (!isTree(here)) return;
    const section: unknown = here[key] ?? {};
    const copy: unknown = isTree(section) ? { ...section } : section;
    Object.assign(here, { [key]: copy });
    here = copy;
  }
  if (isTree(here)) Object.assign(here, { [last]: value });
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const item of Object.values(value)) deepFreeze(item);
  return value;
}
