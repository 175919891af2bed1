// Reads the law of the wire from where somebody points: a folder, or a revision of git.
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { refsOf } from '../contracts/law/material.ts';
import type { Law } from '../contracts/law/registry-diff.ts';
import { readRegistry, schemaName } from '../contracts/law/registry-shape.ts';

/** The text of a file below the folder of contracts; undefined if it is not there. Throws a text for people otherwise. */
type Read = (path: string) => string | undefined;

const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** The source cannot be read, or is not what it must be. */
export class UnreadableLaw extends Error {
  override readonly name = 'UnreadableLaw';
}

/**
 * `source` is a folder with `registry.json` in it or below its `contracts`, else a revision of git that has
 * `contracts/registry.json` below the current folder. Throws `UnreadableLaw`.
 */
export function readLaw(source: string): Law {
  const read = readerOf(source);
  const text = read('registry.json');
  if (text === undefined) throw new UnreadableLaw(`${source} has no registry.json`);
  const reading = readRegistry(text);
  if (reading.kind === 'unreadable') throw new UnreadableLaw(`registry.json of ${source}: ${reading.fault}`);
  const { registry } = reading;
  if (registry.subjects.length === 0) throw new UnreadableLaw(`registry.json of ${source} lists no subjects`);
  const schemas = new Map<string, unknown>();
  for (const subject of registry.subjects) {
    const { status, name } = subject;
    for (const [, ref] of refsOf(subject)) {
      const schema = schemaName(ref);
      const written = schemas.has(schema) ? undefined : read(`schemas/${schema}.json`);
      if (written !== undefined) schemas.set(schema, parsed(written, `${schema} of ${source}`));
      // What is planned may be written later.
      if (!schemas.has(schema) && status !== 'draft' && status !== 'planned') {
        throw new UnreadableLaw(`${source} has no schema ${schema}, which ${name} names`);
      }
    }
  }
  return { registry, schemas };
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableLaw(`${what} is not JSON`);
  }
}

function readerOf(source: string): Read {
  const folder = [source, join(source, 'contracts')].find((path) => isThere(join(path, 'registry.json')));
  if (folder !== undefined) return (path) => inFolder(join(folder, path));
  if (isThere(source)) throw new UnreadableLaw(`${source} has no registry.json`);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_./@{}^~+-]*$/.test(source)) {
    throw new UnreadableLaw(`${JSON.stringify(source)} is neither a folder nor a revision of git`);
  }
  const { status } = git(['rev-parse', '--quiet', '--verify', `${source}^{commit}`]);
  if (status !== 0) throw new UnreadableLaw(`${JSON.stringify(source)} is neither a folder nor a revision of git`);
  return (path) => {
    const shown = git(['show', `${source}:./contracts/${path}`]);
    return shown.status === 0 ? shown.stdout : undefined;
  };
}

const git = (args: readonly string[]) => spawnSync('git', args, { encoding: 'utf8', maxBuffer: FILE_BYTES_MAX });

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

function inFolder(path: string): string | undefined {
  return isThere(path) ? readFileSync(path, 'utf8') : undefined;
}
