// Turns the items of `pre`, `validators` and `post` into what the router asks before a decision, and what a worker asks
// about the output (policy 10).
import { conditionOf } from './compile-rule.ts';
import type { ProcessorDocument, ValidatorDocument } from './extension-document.ts';
import type { ExtensionItem } from './policy.ts';

/** In the order in which they run: pre-processors one after the other, then validators together. */
export const compileExtensions = (
  pre: readonly ProcessorDocument[] = [],
  validators: readonly ValidatorDocument[] = [],
): readonly ExtensionItem[] =>
  Object.freeze([
    ...pre.map((item) => compileItem(item, 'pre', modeOf(item))),
    ...validators.map((item) => compileItem(item, 'validator', ON_FAIL[item.on_fail ?? 'block'])),
  ]);

/** Undefined for a policy without any, so that its requests are asked nothing more. */
export const compilePost = (post: readonly ProcessorDocument[] = []): readonly ExtensionItem[] | undefined =>
  post.length === 0 ? undefined : Object.freeze(post.map((item) => compileItem(item, 'post', modeOf(item))));

const modeOf = ({ mode }: ProcessorDocument): ExtensionItem['onFailure'] => (mode === 'required' ? 'end' : 'ignore');

const ON_FAIL = { block: 'end', warn: 'warn', ignore: 'ignore' } as const;

const compileItem = (
  item: ProcessorDocument | ValidatorDocument,
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
