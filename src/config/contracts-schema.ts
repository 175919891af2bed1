// How much of the traffic speaks v2 of a contract that exists in two versions (contracts 11).
import { Type } from 'typebox';
import { integer, section, token } from './setting.ts';

export const contractsSchema = section({
  v2: section({
    enabled: Type.Boolean({
      default: true,
      description: 'Whether plain decisions of the gateway speak v2 at all; calls and jobs always do.',
    }),
    percent: integer(100, 0, 100, 'Per cent of the plain decisions of a tenant that speak v2.'),
    tenants: Type.Array(token('Identifier of a tenant.'), {
      default: [],
      description: 'Tenants whose plain decisions may speak v2; none named means all.',
    }),
  }),
});
