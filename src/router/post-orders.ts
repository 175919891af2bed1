// The post-processors of a policy as a work order tells them to a worker: subject, settings and times are the registry's
// and the policy's, never a caller's (policy 10.1, 10.2). Pure.
// A worker knows the health of what it asks; a router does not, so instances are drawn by weight alone.
import type { PostOrder } from '../contracts/assignment.ts';
import { at } from '../contracts/contract.ts';
import { extensionPost } from '../contracts/extension.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Scope } from '../policy/condition.ts';
import { type Facts, type Live, seedOf } from '../policy/facts.ts';
import type { ExtensionItem, Policy } from '../policy/policy.ts';
import { scopeOf } from '../policy/scope-of.ts';
import { endpointOf } from './extension-endpoint.ts';
import { settingsFor } from './extension-settings.ts';
import type { Registry } from './extensions.ts';

/**
 * Those whose condition holds, in their order; an optional one is left out that the registry does not have, or whose
 * settings do not fit its schema. `extension_not_found` and `extension_error` for a required one.
 */
function postOrders(items: readonly ExtensionItem[], registry: Registry, scope: Scope): PostOrder[] | BeamlineError {
  const orders: PostOrder[] = [];
  for (const item of items) {
    if (!item.holds(scope)) continue;
    const descriptor = registry.get(item.id);
    const isRequired = item.onFailure === 'end';
    if (descriptor === undefined || !descriptor.enabled || descriptor.type !== 'post') {
      if (!isRequired) continue;
      return new BeamlineError('extension_not_found', `there is no post extension ${item.id}`, {
        details: { extension: item.id },
      });
    }
    const settings = settingsFor(descriptor, item);
    if (settings.kind === 'invalid') {
      if (!isRequired) continue;
      return new BeamlineError('extension_error', settings.message, { details: { extension: item.id } });
    }
    const seed = seedOf(scope.facts);
    const { id, version } = endpointOf(descriptor, { scope, seed, statusOf: () => 'healthy' });
    const order: PostOrder = {
      id: item.id,
      subject: at(extensionPost, { id }).subject,
      mode: isRequired ? 'required' : 'optional',
      config: settings.config,
      timeout_ms: item.timeoutMs ?? descriptor.timeoutMs,
      retry: item.retry ?? descriptor.retry,
    };
    if (version !== undefined) order.version = version;
    orders.push(order);
  }
  return orders;
}

/** Those of one attempt; undefined for a policy without any. */
export function postOrdersFor(
  policy: Policy,
  facts: Facts,
  to: { readonly attempt: number; readonly provider: string },
  live: Live,
  registry: Registry,
): PostOrder[] | undefined | BeamlineError {
  if (policy.post === undefined) return undefined;
  const standing = { attempt: to.attempt, failureWords: [], currentProvider: to.provider };
  return postOrders(policy.post, registry, scopeOf(policy, facts, live, standing));
}
