// Ways to spoil the true law in one place, for the tests of its rules.
import assert from 'node:assert/strict';
import type { CodeFacts, Material } from '../contracts/law/material.ts';
import { registryOf } from '../contracts/law/registry-shape.ts';
import { readMaterial } from './contracts-material.ts';

const reading = readMaterial({ root: '.' });
assert.ok(reading.kind === 'read', 'the law cannot be read');

/** What the project has; its tests run at its root. */
export const TRUE = reading.material;
export const UNREADABLE = reading.unreadable;

export type Spoil = (material: Material) => Material;

export const GONE = Symbol('gone');
export const NEW = '+';

/**
 * A document with one place changed. A step into a list is an index, `NEW`, or the name of the item; `to` is the value,
 * `GONE`, or what makes it of the old one.
 */
function changed(tree: unknown, [step, ...rest]: readonly (string | number)[], to: unknown): unknown {
  if (step === undefined) return typeof to === 'function' ? (to as (old: unknown) => unknown)(tree) : to;
  if (Array.isArray(tree)) {
    if (step === NEW) return [...(tree as readonly unknown[]), changed(undefined, rest, to)];
    const at = typeof step === 'number' ? step : tree.findIndex((item) => isNamed(item, step));
    assert.ok(at >= 0, `no ${step}`);
    const item = changed(tree[at], rest, to);
    return item === GONE ? tree.toSpliced(at, 1) : tree.with(at, item);
  }
  const members = tree as Readonly<Record<string, unknown>>;
  const { [step]: old, ...others } = members;
  const member = changed(old, rest, to);
  return member === GONE ? others : { ...members, [step]: member };
}

function isNamed(item: unknown, name: string): boolean {
  const { name: own, subject } = item as { readonly name?: unknown; readonly subject?: unknown };
  return (own ?? subject) === name;
}

export const more =
  (item: unknown) =>
  (list: unknown): unknown => [...(list as readonly unknown[]), item];

/** The material with a registry that was edited in its file. */
export const law =
  (steps: readonly (string | number)[], to: unknown): Spoil =>
  (material) => {
    const tree = changed(material.tree, steps, to);
    return { ...material, tree, registry: registryOf(tree) };
  };

export const inCode =
  (change: (code: CodeFacts) => Partial<CodeFacts>): Spoil =>
  (material) => ({ ...material, code: { ...material.code, ...change(material.code) } });

export const all =
  (...spoils: readonly Spoil[]): Spoil =>
  (material) =>
    spoils.reduce((spoilt, spoil) => spoil(spoilt), material);

/** A header set that law and code both have wrong: what they agree on is still judged. */
export const headerSet = (name: string, set: { required: readonly string[]; optional: readonly string[] }): Spoil =>
  all(
    law(['header_sets', name], set),
    inCode(({ headerSets }) => ({ headerSets: { ...headerSets, [name]: set } })),
  );

/** A subject of another name, with its owner. */
export const renamed = (name: string, to: string): Spoil =>
  all(law(['ownership', name, 'subject'], to), law(['subjects', name, 'name'], to));

export const file =
  (place: 'schemas' | 'frozen', name: string, steps: readonly string[], to: unknown): Spoil =>
  (material) => ({
    ...material,
    [place]: new Map(material[place]).set(name, changed(material[place].get(name), steps, to)),
  });

/** A schema that file and code both have wrong. */
export const emitted = (name: string, steps: readonly string[], to: unknown): Spoil =>
  all(
    file('schemas', name, steps, to),
    inCode(({ schemas }) => ({ schemas: new Map(schemas).set(name, changed(schemas.get(name), steps, to)) })),
  );

export const example =
  (name: string, steps: readonly string[], to: unknown): Spoil =>
  (material) => ({
    ...material,
    examples: material.examples.map((shown) =>
      shown.schema === name ? { schema: name, path: shown.path, value: changed(shown.value, steps, to) } : shown,
    ),
  });

/** Compared with a base that was, before the change, the same. */
export const since =
  (spoil: Spoil): Spoil =>
  (material) => ({ ...spoil(material), base: { registry: material.registry, schemas: material.schemas } });
