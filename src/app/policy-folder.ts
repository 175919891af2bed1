// What a folder of policies holds: `<dir>/<tenant>/<policy>.yaml`, `.yml` or `.json`, names encoded as tokens.
// Contents are compared by their hash: times and inodes say nothing where a mounted folder is swapped by a link.
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { decodeToken } from '../contracts/subject.ts';

const EXTENSIONS = new Set(['.yaml', '.yml', '.json']);
/** A file above this is not read here; who parses it refuses it. */
const BYTES_MAX = 16_777_216;

export interface FoundPolicy {
  readonly tenantId: string;
  readonly policyId: string;
  /** More than one is a fault. */
  readonly files: readonly FoundFile[];
}

export interface FoundFile {
  readonly path: string;
  /** Of the content, or why there is none. */
  readonly hash: string;
}

export interface FoundFolder {
  /** By tenant and policy, with a space between. */
  readonly policies: ReadonlyMap<string, FoundPolicy>;
  /** The folder itself and those of the tenants. */
  readonly folders: readonly string[];
}

/** Rejects if the folder itself cannot be read. */
export async function readPolicyFolder(dir: string): Promise<FoundFolder> {
  const names = (await readdir(dir)).filter(isVisible).toSorted();
  const tenants = await Promise.all(names.map((name) => readTenant(join(dir, name), decodeToken(name))));
  const policies = new Map<string, FoundPolicy>();
  for (const { tenantId, policyId, files } of tenants.flatMap(({ found }) => found)) {
    const name = `${tenantId} ${policyId}`;
    const sameName = policies.get(name)?.files ?? [];
    policies.set(name, { tenantId, policyId, files: [...sameName, ...files] });
  }
  return { policies, folders: [dir, ...tenants.flatMap(({ folder }) => folder ?? [])] };
}

export const hashOf = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

/** `folder` is undefined for what is none, or is gone again; one that may not be read is no empty one. */
async function readTenant(folder: string, tenantId: string) {
  const names = await readdir(folder).catch((fault: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(fault))) return undefined;
    throw fault;
  });
  if (names === undefined) return { folder: undefined, found: [] };
  const wanted = names.filter((name) => isVisible(name) && EXTENSIONS.has(extname(name))).toSorted();
  const found = await Promise.all(
    wanted.map(async (name): Promise<FoundPolicy> => {
      const path = join(folder, name);
      const policyId = decodeToken(name.slice(0, -extname(name).length));
      return { tenantId, policyId, files: [{ path, hash: await hashAt(path) }] };
    }),
  );
  return { folder, found };
}

async function hashAt(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    return size > BYTES_MAX ? `${size} bytes` : hashOf(await readFile(path));
  } catch (fault) {
    return codeOf(fault);
  }
}

const codeOf = (fault: unknown): string =>
  fault instanceof Error && 'code' in fault ? String(fault.code) : 'unreadable';

/** Drafts, and the folders that a mounted one is made of, begin with a dot. */
const isVisible = (name: string): boolean => !name.startsWith('.');
