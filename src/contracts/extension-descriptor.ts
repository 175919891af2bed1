// Extensions as administrators register them (policy 10.1): one record each, of the whole system as the configuration is.
import { Type } from 'typebox';
import { type BucketSpec, type KeyPattern, keyOf, keyPattern } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id, maybe, OpenObject } from './fields.ts';

export const extensionBucket: BucketSpec = { name: 'extensions', bytesMax: 67_108_864 };
export const extensionKey = (id: string): string => keyOf(id);

/** What a policy asks by its items, and what it sends requests to. */
export const EXTENSION_TYPES = ['pre', 'validator', 'post', 'provider'] as const;
export type ExtensionType = (typeof EXTENSION_TYPES)[number];
/** Of a version or an instance: a part of its subject. */
const Part = Type.String({ pattern: '^[a-z0-9_]{1,32}$' });
const ExtensionId = Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' });

const DESCRIPTOR = {
  id: ExtensionId,
  type: Type.Enum([...EXTENSION_TYPES]),
  timeout_ms: Count,
  retry: Count,
  enabled: Type.Boolean(),
  // Under the settings of a policy's item.
  config: maybe(OpenObject),
  // What both together must be: a part of JSON Schema.
  config_schema: maybe(OpenObject),
  // In order of preference; a condition is a text in the language of policies.
  versions: Type.Array(Type.Object({ version: Part, when: maybe(Type.String()), enabled: Type.Boolean() })),
  instances: Type.Array(
    Type.Object({ id: Part, weight: Type.Integer({ minimum: 0, maximum: 100 }), enabled: Type.Boolean() }),
  ),
};

const ExtensionRecord = Type.Object({
  version: Type.Literal('2'),
  ...DESCRIPTOR,
  updated_at_ms: Count,
  updated_by: Id,
});

/** What administrators say of an extension, with its defaults. */
export interface ExtensionDocument {
  readonly id: string;
  readonly type: ExtensionType;
  readonly timeout_ms: number;
  readonly retry: number;
  readonly enabled: boolean;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly config_schema?: Readonly<Record<string, unknown>>;
  readonly versions: readonly { readonly version: string; readonly when?: string; readonly enabled: boolean }[];
  readonly instances: readonly { readonly id: string; readonly weight: number; readonly enabled: boolean }[];
}

export interface ExtensionRecord extends ExtensionDocument {
  readonly version: '2';
  readonly updated_at_ms: number;
  /** Id of the key that wrote it. */
  readonly updated_by: string;
}

export const extensionRecord = payload('beamline.ext.Descriptor', '2', ExtensionRecord);

const RESET = 'extension';
/** In the bucket of controls; `-` stands where a tenant would. */
export const extensionResetKey = (id: string): string => keyOf(RESET, '-', id);
export const extensionResetKeys: KeyPattern = keyPattern(RESET, undefined, undefined);

const ExtensionReset = Type.Object({ version: Type.Literal('2'), extension_id: ExtensionId, set_at_ms: Count });
export type ExtensionReset = Type.Static<typeof ExtensionReset>;

/** Every router and every worker closes the breakers of the extension once for each of them. */
export const extensionReset = payload('beamline.control.ExtensionReset', '2', ExtensionReset);
