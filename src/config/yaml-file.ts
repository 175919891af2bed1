// Reads a YAML file of settings into a plain tree that still knows its lines.
// YAML 1.2 core: no merge keys, no foreign tags, duplicate keys refused, aliases capped. Policies may not even have these
// (policy 1): who reads one asks for what is not plain.
// A `.json` file is YAML as well. While nothing is wrong with it the engine reads it, which is many times faster; its
// lines are looked for when somebody asks.
import { readFileSync, statSync } from 'node:fs';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { parseGuardedText } from '../core/json-guard.ts';
import type { Path } from './settle.ts';

const BYTES_MAX = 16_777_216;
const ALIASES_MAX = 100;
const JSON_LIMITS = { depthMax: 64, valuesMax: 1_000_000 };

/** Something that JSON has no form for. */
export interface NotPlain {
  /** `file:line:col`. */
  readonly at: string;
  readonly message: string;
}

export interface YamlFile {
  readonly tree: unknown;
  /** One line per fault of the text itself, each `file:line:col message`. */
  readonly faults: readonly string[];
  /** Anchors, aliases and tags, in their order. */
  readonly notPlain: readonly NotPlain[];
  /** `file:line:col` of the value at a path, or of the nearest thing above it that the file has. */
  locate(path: Path, isKey: boolean): string;
}

/** Never throws: a file that cannot be read is a fault. `-` is the standard input. */
export function readYamlFile(file: string): YamlFile {
  const unreadable = (why: string): YamlFile => ({
    tree: undefined,
    faults: [`${file}:1:1 ${why}`],
    notPlain: [],
    locate: () => file,
  });
  try {
    if (file === '-') return parse(file, readFileSync(0, 'utf8'));
    if (statSync(file).size > BYTES_MAX) return unreadable(`is larger than ${BYTES_MAX} bytes`);
    const text = readFileSync(file, 'utf8');
    return (file.endsWith('.json') ? faultlessJson(file, text) : undefined) ?? parse(file, text);
  } catch (error) {
    return unreadable(`cannot be read: ${error instanceof Error ? error.message : 'unknown fault'}`);
  }
}

/** Undefined for a text that has a fault: only the other reader tells where. */
function faultlessJson(file: string, text: string): YamlFile | undefined {
  const json = parseGuardedText(text, JSON_LIMITS);
  if (!json.ok) return undefined;
  let located: YamlFile | undefined;
  return {
    tree: json.value,
    faults: [],
    notPlain: [],
    locate(path, isKey) {
      located ??= parse(file, text);
      return located.locate(path, isKey);
    },
  };
}

function parse(file: string, text: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const faults = [...document.errors, ...document.warnings].map(
    ({ pos: [start], code, message }) =>
      `${at(start)} ${code === 'DUPLICATE_KEY' ? `the key ${keyAt(text, start)} is there twice` : message}`,
  );
  visit(document, {
    Alias(_, alias, holders) {
      const target = alias.resolve(document);
      if (target !== undefined && holders.includes(target))
        faults.push(`${at(alias.range?.[0] ?? 0)} An alias inside its own anchor`);
    },
  });
  return {
    tree: faults.length > 0 ? undefined : (document.toJS({ maxAliasCount: ALIASES_MAX }) as unknown),
    faults,
    notPlain: notPlainIn(document, at),
    locate(path, isKey) {
      const found = find(isNode(document.contents) ? document.contents : undefined, path, isKey, (alias) =>
        isAlias(alias) ? alias.resolve(document) : alias,
      );
      return at(found?.range?.[0] ?? 0);
    },
  };
}

/** As it is written, cut where a line or a long key would be. */
const keyAt = (text: string, start: number): string =>
  /^(?:"[^"\n]{0,64}"|'[^'\n]{0,64}'|[^\s:,]{1,64})/.exec(text.slice(start, start + 66))?.[0] ?? '';

function notPlainIn(document: Document.Parsed, at: (offset: number) => string): readonly NotPlain[] {
  const found: NotPlain[] = [];
  visit(document, {
    Node(_, node) {
      const place = at(node.range?.[0] ?? 0);
      if (isAlias(node)) {
        found.push({ at: place, message: `the alias '*${node.source}' is not allowed` });
        return;
      }
      if (node.anchor !== undefined) found.push({ at: place, message: `the anchor '&${node.anchor}' is not allowed` });
      if (node.tag !== undefined) found.push({ at: place, message: `the tag of this value is not allowed` });
    },
  });
  return found;
}

function find(
  root: Node | undefined,
  path: Path,
  isKey: boolean,
  resolve: (node: Node) => Node | undefined,
): Node | undefined {
  let here = root;
  for (const [depth, step] of path.entries()) {
    const holder = here === undefined ? undefined : resolve(here);
    if (isMap(holder)) {
      const pair = holder.items.find(({ key }) => isScalar(key) && String(key.value) === step);
      if (pair === undefined) return here;
      const next = isKey && depth === path.length - 1 ? pair.key : (pair.value ?? pair.key);
      here = isNode(next) ? next : here;
    } else if (isSeq(holder)) {
      const next = typeof step === 'number' ? holder.items[step] : undefined;
      if (!isNode(next)) return here;
      here = next;
    } else return here;
  }
  return here;
}
