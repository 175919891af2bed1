// Sessions that stay with their provider (policy 5.7): the key of a binding, and the draw of the first choice.
// The draw comes from the session and not from the request, so routers agree before any of them has stored a binding.
import { hash as digest } from 'node:crypto';
import type { Facts } from './facts.ts';
import type { Policy } from './policy.ts';

const VALUE_CHARS_MAX = 128;

/** A value of the request's context as text: of a session, or of another unit that keeps its choice. Nothing is none. */
export function contextText({ context }: Facts, name: string): string | undefined {
  if (!Object.hasOwn(context, name)) return undefined;
  const value = context[name];
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

/** The session's value as text, or undefined if the policy or the request has none. */
export const sessionOf = (policy: Policy, facts: Facts): string | undefined =>
  policy.sticky === undefined ? undefined : contextText(facts, policy.sticky.sessionKey);

/** The key under which the router keeps the session's provider, or undefined if the request is not sticky. */
export function stickyKey(policy: Policy, facts: Facts): string | undefined {
  const value = sessionOf(policy, facts);
  return value === undefined ? undefined : keyOf(policy, facts, value);
}

/** Ids hold no space and the session key has its length, so no two sessions share a key; long values are hashed. */
export function keyOf(policy: Policy, facts: Facts, value: string): string {
  const name = policy.sticky?.sessionKey ?? '';
  const short = value.length <= VALUE_CHARS_MAX ? `=${value}` : `#${digest('sha256', value, 'base64url')}`;
  return `${facts.tenantId} ${policy.policyId} ${name.length} ${name} ${short}`;
}

/** What the first choice of a session draws from. */
export const sessionText = (policy: Policy, facts: Facts, value: string): string =>
  `sticky|${facts.tenantId}|${policy.policyId}|${policy.sticky?.sessionKey ?? ''}|${value}`;
