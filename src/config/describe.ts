// Tells what the settings are and what they are now: the reference page and `--check-config` come from the declarations.
import { Type, type TSchema } from 'typebox';
import { type EffectiveConfig, settings } from './read.ts';
import { expectation, isTree, mapParts } from './settle.ts';

export interface Setting {
  /** Dotted; `[]` stands for an entry of a list, `<name>` for a key of a map. */
  readonly path: string;
  readonly type: string;
  /** JSON; undefined when there is none. */
  readonly default: string | undefined;
  readonly description: string;
}

/** Every setting, entries of lists and maps included, in the order of the declarations. */
export const describeConfig = (): readonly Setting[] =>
  [...settings].flatMap(([path, schema]) => Array.from(describe(path, schema)));

function* describe(path: string, schema: TSchema): Generator<Setting> {
  if (Type.IsObject(schema)) {
    for (const [key, property] of Object.entries(schema.properties)) yield* describe(`${path}.${key}`, property);
    return;
  }
  const fallback = 'default' in schema ? JSON.stringify(schema.default) : undefined;
  const description = 'description' in schema ? String(schema.description) : '';
  yield { path, type: typeName(schema), default: fallback, description };
  if (Type.IsArray(schema) && Type.IsObject(schema.items)) yield* describe(`${path}[]`, schema.items);
  if (Type.IsRecord(schema)) {
    const { value } = mapParts(schema);
    if (Type.IsObject(value)) yield* describe(`${path}.<name>`, value);
  }
}

function typeName(schema: TSchema): string {
  if (Type.IsArray(schema)) return 'list';
  if (Type.IsRecord(schema)) return 'map';
  return expectation(schema)
    .replace(/^must be ((an?|the) )?/, '')
    .replace(/; .*| (of \d|that matches) .*/, '');
}

const MASKED = new Set(['hash', 'headers']);

/** One line per setting: `path = JSON  # source`. Hashes and header values are masked; secrets are references only. */
export function renderConfig({ config, sources }: EffectiveConfig): string {
  const lines = [...settings.keys()].map((path) => {
    const value = path.split('.').reduce<unknown>((here, key) => (isTree(here) ? here[key] : undefined), config);
    return `${path} = ${value === undefined ? 'unset' : JSON.stringify(value, mask)}  # ${sources.get(path)}`;
  });
  return `${lines.join('\n')}\n`;
}

const mask = (key: string, value: unknown): unknown => (MASKED.has(key) ? '***' : value);
