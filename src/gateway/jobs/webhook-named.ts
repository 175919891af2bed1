// The webhook that a caller names in a body or in a header.
import type { Call } from '../call.ts';
import { invalidField } from '../routes/policies-request.ts';
import type { Jobs } from './jobs.ts';

/** `named` is what the body says, which wins. Throws `invalid_request` where the tenant has none of that id. */
export function webhookNamed(call: Call, { webhooks }: Jobs, named: string | undefined): string | undefined {
  const webhookId = named ?? call.header('x-beamline-webhook');
  if (webhookId === undefined || webhooks.has(call.tenantId, webhookId)) return webhookId;
  throw invalidField('webhook', 'must be the id of a registered webhook of the tenant');
}
