// How much of the traffic speaks v2 where a message exists in both versions: set by operators, watched by every gateway.
import { Type } from 'typebox';
import { type BucketSpec, type KeyPattern, keyOf, keyPattern } from './bucket.ts';
import { payload } from './contract.ts';
import { Id } from './fields.ts';

export const controlBucket: BucketSpec = { name: 'control', bytesMax: 16_777_216 };
/** The switch is of the whole system: `-` stands where a tenant would. */
const PLACE = ['contracts', '-', 'v2'] as const;
export const contractSwitchKey = keyOf(...PLACE);
export const contractSwitchPattern: KeyPattern = keyPattern(...PLACE);

const ContractSwitch = Type.Object({
  version: Type.Literal('2'),
  enabled: Type.Boolean(),
  // Whole per cent of the requests of a tenant.
  percent: Type.Integer({ minimum: 0, maximum: 100 }),
  // Only these tenants; none named means all.
  tenants: Type.Array(Id, { maxItems: 10_000 }),
});
export type ContractSwitch = Type.Static<typeof ContractSwitch>;

export const contractSwitch = payload('beamline.control.ContractSwitch', '2', ContractSwitch);
