// From an unknown document to a compiled policy, or to everything that is wrong with it (policy 11.5).
// The table finds faults of shape, and the relations what takes two places of the document to see.
import { compilePolicy, type PolicyKey } from './compile.ts';
import { POLICY_SHAPE, type PolicyDocument } from './document.ts';
import type { KnownExtensions } from './extension-relations.ts';
import { Findings, type Issue } from './issue.ts';
import type { Policy } from './policy.ts';
import { relate, type Surroundings } from './relations.ts';
import { check, isMembers } from './shape.ts';

const BYTES_MAX = 262_144;

export interface ParseOptions extends PolicyKey, Surroundings {}

export type Parsed =
  | { readonly kind: 'valid'; readonly policy: Policy; readonly warnings: readonly Issue[] }
  | { readonly kind: 'invalid'; readonly errors: readonly Issue[]; readonly warnings: readonly Issue[] };

/** A parser with its surroundings; `extensions` in place of those that there are. */
export type ParsePolicy = (document: unknown, key: PolicyKey, extensions?: KnownExtensions) => Parsed;

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
      circuit_breaker: { enabled: true },
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
