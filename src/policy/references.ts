// Where a policy document names providers, besides those that it lists (policy 11.5). Reads documents that may be wrong.
import { pathTo } from './issue.ts';
import { isMembers } from './shape.ts';

export interface Reference {
  readonly path: string;
  readonly name: string;
}

type Members = Readonly<Record<string, unknown>>;

/** The items of a list, as far as they are objects, each with its path. */
export const itemsOf = (list: unknown, path: string): readonly (readonly [path: string, item: Members])[] =>
  (Array.isArray(list) ? list : []).flatMap((item: unknown, index) =>
    isMembers(item) ? [[pathTo(path, index), item] as const] : [],
  );

/** The names that are texts. */
export function referencesIn(document: Members): readonly Reference[] {
  const found: Reference[] = [];
  const add = (path: string, name: unknown): void => {
    if (typeof name === 'string') found.push({ path, name });
  };
  const addAll = (effect: unknown, path: string): void => {
    if (!isMembers(effect)) return;
    for (const key of ['only', 'exclude'] as const) {
      const names: unknown = effect[key];
      if (Array.isArray(names)) for (const [index, name] of names.entries()) add(`${path}/${key}/${index}`, name);
    }
    const weights = effect['weights'];
    if (isMembers(weights)) for (const name of Object.keys(weights)) add(pathTo(`${path}/weights`, name), name);
  };
  for (const [path, { then }] of itemsOf(document['rules'], '/rules')) addAll(then, `${path}/then`);
  for (const [path, { arms }] of itemsOf(document['experiments'], '/experiments')) {
    for (const [armPath, { then }] of itemsOf(arms, `${path}/arms`)) addAll(then, `${armPath}/then`);
  }
  for (const key of ['fallbacks', 'escalate_on'] as const) {
    for (const [path, item] of itemsOf(document[key], `/${key}`)) add(`${path}/to`, item['to']);
  }
  for (const [path, { restrict_to: names }] of itemsOf(document['budgets'], '/budgets')) {
    if (Array.isArray(names)) for (const [index, name] of names.entries()) add(`${path}/restrict_to/${index}`, name);
  }
  const { canary, shadow, fallback } = document as { canary?: unknown; shadow?: unknown; fallback?: unknown };
  if (isMembers(canary)) add('/canary/to', canary['to']);
  if (isMembers(shadow)) add('/shadow/to', shadow['to']);
  if (isMembers(fallback)) add('/fallback/provider', fallback['provider']);
  return found;
}
