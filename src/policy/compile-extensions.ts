// Turns the items of `pre` and `validators` into what the router asks before a decision (policy 10).
import { conditionOf } from './compile-rule.ts';
import type { PreDocument, ValidatorDocument } from './extension-document.ts';
import type { ExtensionItem } from './policy.ts';

/** In the order in which they run: pre-processors one after the other, then validators together. */
export const compileExtensions = (
  pre: readonly PreDocument[] = [],
  validators: readonly ValidatorDocument[] = [],
): readonly ExtensionItem[] =>
  Object.freeze([
    ...pre.map((item) => compileItem(item, 'pre', item.mode === 'required' ? 'end' : 'ignore')),
    ...validators.map((item) => compileItem(item, 'validator', ON_FAIL[item.on_fail ?? 'block'])),
  ]);

const ON_FAIL = { block: 'end', warn: 'warn', ignore: 'ignore' } as const;

const compileItem = (
  item: PreDocument | ValidatorDocument,
  stage: ExtensionItem['stage'],
  onFailure: ExtensionItem['onFailure'],
): ExtensionItem =>
  Object.freeze({
    id: item.id,
    stage,
    onFailure,
    config: Object.freeze({ ...item.config }),
    timeoutMs: item.timeout_ms,
    retry: item.retry,
    holds: conditionOf(item.when),
  });
