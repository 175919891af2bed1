// From an unknown document to a compiled policy, or to everything that is wrong with it (policy 11.5).
// The table finds faults of shape; this file finds what takes two places of the document to see.
import { compilePolicy, type PolicyKey } from './compile.ts';
import { POLICY_SHAPE, type PolicyDocument } from './document.ts';
import { Findings, type Issue, pathTo } from './issue.ts';
import type { Policy } from './policy.ts';
import { check, isMembers } from './shape.ts';

const BYTES_MAX = 262_144;

export interface ParseOptions extends PolicyKey {
  /** The deployment's catalogue; a policy may name these and its own. */
  readonly knownProviders: ReadonlySet<string>;
}

export type Parsed =
  | { readonly kind: 'valid'; readonly policy: Policy; readonly warnings: readonly Issue[] }
  | { readonly kind: 'invalid'; readonly errors: readonly Issue[]; readonly warnings: readonly Issue[] };

/** Checks and compiles a document; never throws. */
export function parsePolicy(document: unknown, options: ParseOptions): Parsed {
  const findings = new Findings();
  if (isSmall(document, findings)) {
    check(document, POLICY_SHAPE, '', { findings, major: majorOf(document) });
    if (isMembers(document)) relate(document, options, findings);
  }
  const { errors, warnings } = findings;
  if (errors.length > 0) return { kind: 'invalid', errors, warnings };
  return { kind: 'valid', policy: compilePolicy(document as PolicyDocument, options), warnings };
}

interface ServedProvider {
  readonly name: string;
  readonly pool?: string | undefined;
  readonly models?: readonly string[] | undefined;
}

/** The policies that every tenant has (policy 12.1): all enabled providers of the catalogue with equal weight. */
export const builtInPolicy = (policyId: 'default' | 'direct', providers: readonly ServedProvider[]): Policy =>
  compilePolicy(
    {
      version: '2.0',
      providers: providers.map(({ name, pool, models }) => ({
        name,
        weight: 1,
        ...(pool === undefined ? {} : { pool }),
        ...(models === undefined ? {} : { models }),
      })),
    },
    { tenantId: '*', policyId, revision: 0 },
  );

function isSmall(document: unknown, findings: Findings): boolean {
  try {
    if (Buffer.byteLength(JSON.stringify(document) ?? '') <= BYTES_MAX) return true;
    findings.error('', 'too_large', `must have at most ${BYTES_MAX} bytes`);
  } catch {
    findings.error('', 'too_large', 'is nested too deeply, or is not JSON');
  }
  return false;
}

/** A document without a readable version is checked as the newest, so that one fault is told as one. */
const majorOf = (document: unknown): 1 | 2 => {
  const version = isMembers(document) ? document['version'] : undefined;
  return typeof version === 'string' && version.startsWith('1.') ? 1 : 2;
};

type Members = Readonly<Record<string, unknown>>;

/** What one place of the document says about another. Parts of a wrong type were told of already. */
function relate(document: Members, options: ParseOptions, findings: Findings): void {
  for (const [key, stored] of [
    ['policy_id', options.policyId],
    ['tenant_id', options.tenantId],
  ] as const) {
    if (typeof document[key] === 'string' && document[key] !== stored) {
      findings.error(`/${key}`, 'conflict', `must equal the key of the store, '${stored}'`);
    }
  }
  const sticky = document['sticky'];
  if (isMembers(sticky) && sticky['ttl'] !== undefined && sticky['ttl_seconds'] !== undefined) {
    findings.error('/sticky/ttl_seconds', 'conflict', `excludes 'ttl'`);
  }
  const entries = entriesOf(document, findings);
  checkNames(entries, options, findings);
  checkSum(document, entries, findings);
  checkFallbacks(document, entries, options, findings);
}

/** A provider of the document, as far as it is readable. */
interface Entry {
  readonly path: string;
  readonly name: unknown;
  readonly weight: unknown;
  readonly enabled: boolean;
  readonly isCompact: boolean;
}

function entriesOf(document: Members, findings: Findings): readonly Entry[] {
  const { providers, weights } = document as { providers?: unknown; weights?: unknown };
  if (providers === undefined && weights === undefined)
    findings.error('/providers', 'required', `'providers' or 'weights' is required`);
  if (providers !== undefined && weights !== undefined) findings.error('/weights', 'conflict', `excludes 'providers'`);
  const listed = (Array.isArray(providers) ? providers : []).map((item: unknown, index): Entry => {
    const members = isMembers(item) ? item : {};
    const { name, weight = 0, enabled } = members as { name?: unknown; weight?: unknown; enabled?: unknown };
    return { path: `/providers/${index}/name`, name, weight, enabled: enabled !== false, isCompact: false };
  });
  const compact = Object.entries(isMembers(weights) ? weights : {}).map(([name, weight]): Entry => ({
    path: pathTo('/weights', name),
    name,
    weight,
    enabled: true,
    isCompact: true,
  }));
  return [...listed, ...compact];
}

function checkNames(entries: readonly Entry[], { knownProviders }: ParseOptions, findings: Findings): void {
  const listed = new Set<string>();
  for (const { path, name, isCompact } of entries) {
    if (typeof name !== 'string') continue;
    if (isCompact && !listed.has(name) && !knownProviders.has(name)) notDefined(path, name, findings);
    if (!isCompact && listed.has(name)) findings.error(path, 'duplicate', `provider '${name}' is listed twice`);
    if (!isCompact) listed.add(name);
  }
}

function checkSum(document: Members, entries: readonly Entry[], findings: Findings): void {
  const isWeighted = document['strategy'] === undefined || document['strategy'] === 'weighted';
  if (isWeighted && entries.length > 0 && entries.every(({ weight }) => weight === 0)) {
    findings.error(
      document['providers'] === undefined ? '/weights' : '/providers',
      'weights_sum_zero',
      'at least one weight must be above 0',
    );
  }
}

function checkFallbacks(
  document: Members,
  entries: readonly Entry[],
  { knownProviders }: ParseOptions,
  findings: Findings,
): void {
  const names = new Set(entries.map(({ name }) => name));
  const drawable = entries.filter(({ weight, enabled }) => weight !== 0 && enabled);
  const only = drawable.length === 1 ? drawable[0]?.name : undefined;
  for (const { path, to, when } of fallbackTargets(document)) {
    if (typeof to !== 'string') continue;
    if (!names.has(to) && !knownProviders.has(to)) notDefined(path, to, findings);
    const current = isMembers(when) ? when['current_provider'] : undefined;
    if (to === (current ?? only))
      findings.warning(path, 'fallback_to_self', `falls back to the provider that failed, '${to}'`);
  }
}

function fallbackTargets(document: Members): readonly { path: string; to: unknown; when: unknown }[] {
  const { fallbacks, fallback } = document as { fallbacks?: unknown; fallback?: unknown };
  const items = (Array.isArray(fallbacks) ? fallbacks : []).map((item: unknown, index) => {
    const { to, when } = (isMembers(item) ? item : {}) as { to?: unknown; when?: unknown };
    return { path: `/fallbacks/${index}/to`, to, when };
  });
  if (!isMembers(fallback)) return items;
  return [...items, { path: '/fallback/provider', to: fallback['provider'], when: undefined }];
}

const notDefined = (path: string, name: string, findings: Findings): void =>
  findings.error(path, 'unknown_provider', `provider '${name}' is not defined`);
