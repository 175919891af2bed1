// What a router is told of a tenant beside its name: what policies read of it, and its share.
import type { Config } from '../config/schema.ts';
import type { TenantFacts } from '../gateway/decide-client.ts';

export const tenantFacts = ({ tier, labels, weight }: Config['gateway']['tenants'][number]): TenantFacts => ({
  ...(tier === undefined ? {} : { tier }),
  ...(labels === undefined ? {} : { labels: { ...labels } }),
  ...(weight === 1 ? {} : { weight }),
});
