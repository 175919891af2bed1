// Tells the caller how a request was routed, as far as it is known when the head is written (gateway 5.2).
import type { Routed } from './order.ts';

const LEGAL = /^[\x21-\x7e]{1,256}$/;

/** Header names and values in turn; `hasCost` for an answer whose end has come. */
export function routedHeaders(routed: Routed, hasCost: boolean): string[] {
  const { providerId, model, policyId, policyRevision, attempts, costMicroUsd } = routed;
  const headers: string[] = [];
  if (providerId !== undefined && LEGAL.test(providerId)) headers.push('x-beamline-provider', providerId);
  if (model !== undefined && LEGAL.test(model)) headers.push('x-beamline-model', model);
  if (policyId !== undefined && LEGAL.test(policyId)) headers.push('x-beamline-policy', policyId);
  if (policyRevision !== undefined) headers.push('x-beamline-revision', String(policyRevision));
  if (attempts > 0) headers.push('x-beamline-attempts', String(attempts));
  if (hasCost && costMicroUsd !== undefined) headers.push('x-beamline-cost', String(costMicroUsd));
  return headers;
}
