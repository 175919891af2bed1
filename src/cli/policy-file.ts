// A policy as a file, for the commands that judge one: read, checked, and every finding with its place in the file.
import { basename, extname } from 'node:path';
import { openPriceBook, priceLines } from '../catalog/price-book.ts';
import { environment } from '../config/environment.ts';
import { readConfig } from '../config/read.ts';
import { readYamlFile, type YamlFile } from '../config/yaml-file.ts';
import type { Issue } from '../policy/issue.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { isMembers } from '../policy/shape.ts';
import { EXIT } from './exit.ts';
import { complain } from './print.ts';

/** What the commands have in common: which providers the deployment has. */
export const catalogueArgs = {
  providers: { type: 'string', valueHint: 'a,b', description: 'Providers of the deployment, comma separated' },
  config: { type: 'string', valueHint: 'file', description: 'Settings of the deployment, for its providers' },
} as const;

interface CatalogueArgs {
  readonly providers?: string | undefined;
  readonly config?: string | undefined;
}

/** A finding with its place, `file:line:col`. */
export interface PlacedIssue extends Issue {
  readonly at: string;
}

export type PolicyFile =
  | { readonly kind: 'unreadable'; readonly file: string; readonly faults: readonly string[] }
  | {
      readonly kind: 'invalid';
      readonly file: string;
      readonly errors: readonly PlacedIssue[];
      readonly warnings: readonly PlacedIssue[];
    }
  | {
      readonly kind: 'valid';
      readonly file: string;
      readonly errors: readonly [];
      readonly warnings: readonly PlacedIssue[];
      readonly policy: Policy;
    };

/** What the deployment has. */
export interface Catalogue {
  readonly providers: ReadonlySet<string>;
  /** Absent where nobody told a price. */
  readonly isPriced: ((provider: string, model: string) => boolean) | undefined;
}

/** The deployment's providers; undefined if nobody named them. Throws as `readConfig` does. */
export function catalogueOf({ providers, config }: CatalogueArgs): Catalogue | undefined {
  if (providers === undefined && config === undefined) return undefined;
  const named = (providers ?? '').split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]));
  const configured = config === undefined ? [] : readConfig({ env: environment, file: config }).config.providers.list;
  const lines = priceLines(configured);
  const book = openPriceBook(lines);
  return {
    providers: new Set([...named, ...configured.map(({ id }) => id)]),
    isPriced: lines.length === 0 ? undefined : (provider, model) => book.lineOf(provider, model) !== undefined,
  };
}

/** Never throws. Without a catalogue, only the document itself defines providers. */
export function readPolicyFile(path: string, catalogue: Catalogue | undefined): PolicyFile {
  const yaml = readYamlFile(path);
  if (yaml.faults.length > 0) return { kind: 'unreadable', file: path, faults: yaml.faults };
  const { tree } = yaml;
  const echoed = isMembers(tree) ? tree : {};
  const { weights, tenant_id: tenant, policy_id: id } = echoed as { weights?: unknown } & Record<string, unknown>;
  const parsed = parsePolicy(tree, {
    knownProviders: catalogue?.providers ?? new Set(isMembers(weights) ? Object.keys(weights) : []),
    isPriced: catalogue?.isPriced,
    tenantId: typeof tenant === 'string' ? tenant : 'default',
    policyId: typeof id === 'string' ? id : basename(path, extname(path)),
    revision: 0,
  });
  const warnings = placed(yaml, parsed.warnings);
  const notPlain = yaml.notPlain.map((what): PlacedIssue => ({ ...what, path: '', code: 'not_plain' }));
  if (parsed.kind === 'invalid') {
    return { kind: 'invalid', file: path, errors: [...notPlain, ...placed(yaml, parsed.errors)], warnings };
  }
  if (notPlain.length > 0) return { kind: 'invalid', file: path, errors: notPlain, warnings };
  return { kind: 'valid', file: path, errors: [], warnings, policy: parsed.policy };
}

/** The policy of a file that has to be valid, or the exit code after its faults were told. */
export function openPolicyFile(path: string, catalogue: Catalogue | undefined): Policy | number {
  const file = readPolicyFile(path, catalogue);
  if (file.kind === 'valid') return file.policy;
  for (const line of linesOf(file)) complain(line);
  return exitOfFile(file);
}

export const exitOfFile = ({ kind }: PolicyFile): number =>
  ({ valid: EXIT.ok, invalid: EXIT.failed, unreadable: EXIT.unreadable })[kind];

/** One line per finding, `file:line:col path code message`. */
export function linesOf(file: PolicyFile): readonly string[] {
  if (file.kind === 'unreadable') return file.faults;
  const line = ({ at, path, code, message }: PlacedIssue, kind = ''): string =>
    `${at} ${path === '' ? '/' : path} ${kind}${code} ${message}`;
  return [...file.errors.map((issue) => line(issue)), ...file.warnings.map((issue) => line(issue, 'warning '))];
}

/** A key that should not be there is shown itself, everything else by its value. */
export const placed = (yaml: YamlFile, issues: readonly Issue[]): readonly PlacedIssue[] =>
  issues
    .map((issue) => ({ at: yaml.locate(keysOf(issue.path, yaml.tree), isAboutKey(issue)), ...issue }))
    .toSorted((one, other) => comparePlaces(one.at, other.at));

/** As their author reads them: `file:line:col` of one file. */
function comparePlaces(one: string, other: string): number {
  const [[line = 0, col = 0], [otherLine = 0, otherCol = 0]] = [lineAndColumn(one), lineAndColumn(other)];
  return line - otherLine || col - otherCol;
}

const lineAndColumn = (place: string): readonly number[] => place.split(':').slice(-2).map(Number);

const isAboutKey = ({ code }: Issue): boolean => code === 'unknown_key' || code === 'requires_version_2';

/** A JSON Pointer as keys; within a list they are indexes. */
function keysOf(pointer: string, tree: unknown): readonly (string | number)[] {
  let here = tree;
  return pointer
    .split('/')
    .slice(1)
    .map((escaped) => {
      const key = escaped.replaceAll('~1', '/').replaceAll('~0', '~');
      const isList = Array.isArray(here);
      here = isMembers(here) || Array.isArray(here) ? (here as Readonly<Record<string, unknown>>)[key] : undefined;
      return isList ? Number(key) : key;
    });
}
