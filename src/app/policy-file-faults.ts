// A policy's file as a document, or every fault in it with its place.
import { readYamlFile } from '../config/yaml-file.ts';
import { encodeToken } from '../contracts/subject.ts';
import type { PolicyKey } from '../policy/compile.ts';
import { isOfExtensions } from '../policy/extension-relations.ts';
import type { Parsed } from '../policy/parse.ts';
import type { FoundPolicy } from './policy-folder.ts';

export type ParseDocument = (document: unknown, key: PolicyKey) => Parsed;

export type JudgedFiles =
  | { readonly kind: 'valid'; readonly document: unknown }
  /** Each `file:line:col path code message`, or without a path where the text itself cannot be read. */
  | { readonly kind: 'invalid'; readonly lines: readonly string[]; readonly isOfExtensions: boolean };

export function judgeFiles({ tenantId, policyId, files }: FoundPolicy, parse: ParseDocument): JudgedFiles {
  const [first, ...others] = files;
  const path = first?.path ?? '';
  const faults = others.map((other) => `${other.path}:1:1 is the same policy as ${path}`);
  if (!isId(tenantId) || !isId(policyId)) faults.push(`${path}:1:1 its names are not those of a tenant and a policy`);
  if (faults.length > 0) return { kind: 'invalid', lines: faults, isOfExtensions: false };
  const file = readYamlFile(path);
  if (file.faults.length > 0) return { kind: 'invalid', lines: file.faults, isOfExtensions: false };
  const parsed = parse(file.tree, { tenantId, policyId, revision: 0 });
  const notPlain = file.notPlain.map(({ at, message }) => `${at} / not_plain ${message}`);
  if (parsed.kind === 'valid' && notPlain.length === 0) return { kind: 'valid', document: file.tree };
  const errors = parsed.kind === 'valid' ? [] : parsed.errors;
  const lines = errors.map(({ path: pointer, code, message }) => {
    const place = file.locate(keysOf(pointer), code === 'unknown_key');
    return `${place} ${pointer} ${code} ${message}`;
  });
  return { kind: 'invalid', lines: [...notPlain, ...lines], isOfExtensions: isOfExtensions(errors) };
}

function isId(id: string): boolean {
  try {
    return encodeToken(id) !== '';
  } catch {
    return false;
  }
}

/** A JSON Pointer as keys; a number is an index. */
const keysOf = (pointer: string): (string | number)[] =>
  pointer
    .split('/')
    .slice(1)
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key.replaceAll('~1', '/').replaceAll('~0', '~')));
