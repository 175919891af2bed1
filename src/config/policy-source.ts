// Which source policies come from: two settings may name the HTTP policy store (policy 12.2).
import type { Config } from './schema.ts';

export const policySourceOf = ({ policy, heir_policy_store_enabled: isHeir }: Config): Config['policy']['source'] =>
  isHeir ? 'heir' : policy.source;
