// Loads the policies of the configured folder: `<dir>/<tenant>/<policy>.yaml` or `.json`, names encoded as tokens.
// Every fault of every document is told at once; a start with a bad document is refused.
import { globSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { readYamlFile } from '../config/yaml-file.ts';
import { BeamlineError } from '../core/errors.ts';
import { builtInPolicy, parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { openPolicies, type Policies } from '../router/policies.ts';

/** Revision of a document in a file; the folder keeps no history. */
const FILE_REVISION = 1;

export function loadPolicies(config: Config): readonly Policy[] {
  const { dir } = config.policy;
  if (dir === undefined) return [];
  const knownProviders = new Set(config.providers.list.map(({ id }) => id));
  const faults: string[] = [];
  const policies: Policy[] = [];
  for (const path of globSync('*/*.{yaml,yml,json}', { cwd: dir }).toSorted()) {
    const file = readYamlFile(join(dir, path));
    faults.push(...file.faults);
    if (file.faults.length > 0) continue;
    const parsed = parsePolicy(file.tree, {
      knownProviders,
      tenantId: decodeToken(basename(dirname(path))),
      policyId: decodeToken(basename(path, extname(path))),
      revision: FILE_REVISION,
    });
    if (parsed.kind === 'valid') policies.push(parsed.policy);
    else
      faults.push(
        ...parsed.errors.map(
          (issue) =>
            `${file.locate(keysOf(issue.path), issue.code === 'unknown_key')} ${issue.path} ${issue.code} ${issue.message}`,
        ),
      );
  }
  if (faults.length === 0) return policies;
  throw new BeamlineError('validation_failed', faults.join('\n'), { details: { reason: 'configuration', faults } });
}

/** The policies of the known tenants; `tenants` are those of the keys and of `gateway.tenants`. */
export function policiesOf(config: Config, tenants: Iterable<string>): Policies {
  const providers = config.providers.list.map(({ id, pool, models }) => ({
    name: id,
    pool,
    ...(Object.keys(models).length === 0 ? {} : { models: Object.keys(models) }),
  }));
  return openPolicies({
    tenants: new Set(tenants),
    stored: loadPolicies(config),
    builtIns: [builtInPolicy('default', providers), builtInPolicy('direct', providers)],
  });
}

export const tenantsOf = ({ gateway }: Config): readonly string[] => [
  ...new Set([...gateway.auth.keys.flatMap(({ tenants }) => tenants), ...gateway.tenants.map(({ id }) => id)]),
];

const decodeToken = (token: string): string =>
  token.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** A JSON Pointer as keys; a number is an index. */
const keysOf = (pointer: string): (string | number)[] =>
  pointer
    .split('/')
    .slice(1)
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key.replaceAll('~1', '/').replaceAll('~0', '~')));
