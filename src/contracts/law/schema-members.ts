// The members of objects: which there are, which must be there, and what may stand where none is declared.
import { found, type Found, sidesOf } from './schema-change.ts';
import type { Scope } from './schema-diff.ts';
import { asNode, fieldsOf, type Json, namesIn, type Node } from './schema-node.ts';

export function memberChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  return [
    ...requiredChanges(old, now, path),
    ...propertyChanges(old, now, path, scope),
    ...patternedChanges(old, now, path, scope),
    ...otherChanges(old, now, path, scope),
  ];
}

function requiredChanges(old: Json, now: Json, path: string): readonly Found[] {
  const [before, after] = [namesIn(old['required']), namesIn(now['required'])];
  return [
    ...after
      .filter((name) => !before.includes(name))
      .map((name) =>
        found(`${path}/${name}`, 'required_added', 'consumer', 'required now: messages of old senders may lack it'),
      ),
    ...before
      .filter((name) => !after.includes(name))
      .map((name) =>
        found(
          `${path}/${name}`,
          'required_removed',
          'producer',
          'no longer required: old readers refuse messages without it',
        ),
      ),
  ];
}

/** What senders may write under a name that is not declared; false: nothing. */
function written(node: Json, name: string, scope: Scope): Node {
  const other = node['additionalProperties'];
  if (other !== undefined) return asNode(other);
  if (namesIn(node['required']).includes(name)) return true;
  return scope.isOpen || !hasNames(node);
}

/** What readers accept there. */
const accepted = (node: Json): Node => asNode(node['additionalProperties'] ?? true);

/** Whether every value that is written by one schema is read by the other; by rights of the side that wrote. */
function isRead(by: 'consumer' | 'producer', old: Node, now: Node, scope: Scope): boolean {
  const writer = by === 'consumer' ? old : now;
  return writer === false || !scope.walk(old, now, '', scope).some(({ breaks }) => breaks[by]);
}

function propertyChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [fieldsOf(old, 'properties'), fieldsOf(now, 'properties')];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name): readonly Found[] => {
    const at = `${path}/${name}`;
    const [was, is] = [before[name], after[name]];
    if (was !== undefined && is !== undefined) return scope.walk(asNode(was), asNode(is), at, scope);
    const patterns = isPatterned(old, name) || isPatterned(now, name);
    if (was === undefined) {
      const consumer = patterns || !isRead('consumer', written(old, name, scope), asNode(is), scope);
      const producer = patterns || !isRead('producer', accepted(old), asNode(is), scope);
      return [found(at, 'property_added', sidesOf(consumer, producer), addedMessage(consumer, producer))];
    }
    const consumer = patterns || !isRead('consumer', asNode(was), accepted(now), scope);
    const producer = patterns || !isRead('producer', asNode(was), written(now, name, scope), scope);
    const message = consumer
      ? 'removed, and refused where old senders still write it'
      : 'removed: readers look for it in vain';
    return [found(at, 'property_removed', sidesOf(consumer, producer), message)];
  });
}

function addedMessage(consumer: boolean, producer: boolean): string {
  if (consumer) return 'declared now, where old senders may have written something else';
  return producer ? 'a new field that old readers refuse' : 'a new field that old readers ignore';
}

/** Whether a name falls under a pattern too: which schema then counts is not judged. */
const isPatterned = (node: Json, name: string): boolean =>
  Object.keys(fieldsOf(node, 'patternProperties')).some((pattern) => {
    try {
      return new RegExp(pattern, 'u').test(name);
    } catch {
      return true;
    }
  });

function patternedChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [fieldsOf(old, 'patternProperties'), fieldsOf(now, 'patternProperties')];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((pattern): readonly Found[] => {
    const [was, is] = [before[pattern], after[pattern]];
    if (was !== undefined && is !== undefined) return scope.walk(asNode(was), asNode(is), `${path}/*`, scope);
    return [found(path, 'keyword_changed', 'both', `patternProperties ${pattern} changed, which is not judged here`)];
  });
}

function otherChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [accepted(old), accepted(now)];
  if (after === false && before !== false) {
    const message = 'unknown fields are refused now, though readers must ignore them';
    return [found(path, 'object_closed', 'consumer', message)];
  }
  if (before !== false) return scope.walk(before, after, `${path}/*`, scope);
  if (after === false) return [];
  // Closed before: it matters only if senders make use of it.
  const isForced = namesIn(now['required']).some((name) => !Object.hasOwn(fieldsOf(now, 'properties'), name));
  const isUsed = now['additionalProperties'] !== undefined || scope.isOpen || isForced || !hasNames(now);
  return [found(path, 'object_opened', isUsed ? 'producer' : 'none', 'fields that were refused are accepted now')];
}

const hasNames = (node: Json): boolean =>
  ['properties', 'patternProperties'].some((keyword) => Object.keys(fieldsOf(node, keyword)).length > 0);
