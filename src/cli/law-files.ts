// The files that are generated from the law, beside what stands in their place now.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withOwners } from '../contracts/law/documents/codeowners.ts';
import { lawDocuments } from '../contracts/law/documents/documents.ts';
import type { LawSource } from '../contracts/law/documents/law-document.ts';
import type { GeneratedFile } from '../contracts/law/material.ts';

const OWNERS_PATH = 'CODEOWNERS';

export function lawFiles(source: LawSource, root: string): readonly GeneratedFile[] {
  const owners = contentOf(join(root, OWNERS_PATH));
  return [
    ...lawDocuments(source).map(({ path, text }) => ({ path, text, found: contentOf(join(root, path)) })),
    { path: OWNERS_PATH, text: withOwners(owners ?? '', source.registry), found: owners },
  ];
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
