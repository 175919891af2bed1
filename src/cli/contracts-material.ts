// Reads all that the contract check judges from the files of a checkout. What is missing or not JSON is told by name.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeFacts } from '../contracts/law/code-facts.ts';
import { lockOf } from '../contracts/law/freeze-lock.ts';
import {
  ERRORS_PATH,
  type ErrorLine,
  type ErrorTables,
  type Example,
  LOCK_PATH,
  type Material,
  REGISTRY_PATH,
} from '../contracts/law/material.ts';
import type { Law } from '../contracts/law/registry-diff.ts';
import { membersOf, registryOf } from '../contracts/law/registry-shape.ts';
import { lawFiles } from './law-files.ts';
import { readLaw, UnreadableLaw } from './law-source.ts';

export type MaterialReading =
  /** `unreadable` names schema and example files that no rule could see; the others were judged. */
  | { readonly kind: 'read'; readonly material: Material; readonly unreadable: readonly string[] }
  | { readonly kind: 'unreadable'; readonly faults: readonly string[] };

export interface MaterialPlace {
  /** Root of the checkout. */
  readonly root: string;
  /** What to compare with: another checkout, or a revision of git. */
  readonly base?: string | undefined;
}

export function readMaterial({ root, base }: MaterialPlace): MaterialReading {
  const files = new Files(root);
  const [tree, lock, errors] = [files.json(REGISTRY_PATH), files.json(LOCK_PATH), files.json(ERRORS_PATH)];
  const compared = base === undefined ? undefined : baseOf(base);
  const faults = [...files.faults, ...(compared?.faults ?? [])];
  if (faults.length > 0) return { kind: 'unreadable', faults };
  const registry = registryOf(tree);
  const [schemas, examples, code] = [files.schemas('schemas'), files.examples(), codeFacts()];
  const material: Material = {
    registry,
    tree,
    lock: lockOf(lock),
    schemas,
    frozen: files.schemas('frozen'),
    examples,
    errors: tablesOf(errors),
    code,
    evidence: new Set(
      registry.ownership.map(({ evidence }) => evidence).filter((path) => path !== '' && existsSync(join(root, path))),
    ),
    // Of what the code emits, so that schema files that are stale make one finding and not two.
    generated: lawFiles({ registry, schemas: new Map([...schemas, ...code.schemas]), examples }, root),
    ...(compared?.law === undefined ? {} : { base: compared.law }),
  };
  return { kind: 'read', material, unreadable: files.faults };
}

function baseOf(source: string): { law?: Law; faults: readonly string[] } {
  try {
    return { law: readLaw(source), faults: [] };
  } catch (fault) {
    if (!(fault instanceof UnreadableLaw)) throw fault;
    return { faults: [fault.message] };
  }
}

/** The files of one checkout, with what could not be read of them. */
class Files {
  readonly faults: string[] = [];
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Undefined after the fault was noted. */
  json(path: string): unknown {
    const file = join(this.#root, path);
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as unknown;
    } catch (fault) {
      this.faults.push(`${file}: ${fault instanceof Error ? fault.message : 'unreadable'}`);
      return undefined;
    }
  }

  /** By `<id>@<version>`; other schemas, such as the editor's, are none of the wire's. */
  schemas(folder: 'schemas' | 'frozen'): ReadonlyMap<string, unknown> {
    return new Map(
      this.#find(`contracts/${folder}/*@*.json`).map(([path, tree]) => [basename(path, '.json'), tree] as const),
    );
  }

  examples(): readonly Example[] {
    return this.#find('contracts/examples/*/*.json').map(([path, value]) => ({
      schema: basename(dirname(path)),
      path,
      value,
    }));
  }

  #find(pattern: string): readonly (readonly [path: string, tree: unknown])[] {
    return globSync(pattern, { cwd: this.#root })
      .toSorted()
      .flatMap((path) => {
        const tree = this.json(path);
        return tree === undefined ? [] : [[path, tree] as const];
      });
  }
}

function tablesOf(tree: unknown): ErrorTables {
  const { answers, executions } = membersOf(tree);
  return { answers: linesOf(answers), executions: linesOf(executions) };
}

const linesOf = (tree: unknown): Readonly<Record<string, ErrorLine>> =>
  Object.fromEntries(Object.entries(membersOf(tree)).map(([code, line]) => [code, membersOf(line) as ErrorLine]));
