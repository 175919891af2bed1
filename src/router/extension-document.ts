// What an administrator may say of an extension, with everything that is wrong with it, and what a router makes of it.
import { EXTENSION_TYPES, type ExtensionDocument } from '../contracts/extension-descriptor.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Condition } from '../policy/condition.ts';
import { boolean, integer, list, textLike, word } from '../policy/document-parts.ts';
import { Findings, pathTo } from '../policy/issue.ts';
import { readSettingsSchema, type SettingsSchema } from '../policy/settings-schema.ts';
import { check, type Shape } from '../policy/shape.ts';
import { compileWhen } from '../policy/when.ts';
import type { Descriptor } from './extensions.ts';

/** One more character than in a configuration: `/extensions/{id}` shares its place with words of one path segment. */
const ID = /^[a-z][a-z0-9_]{1,63}$/;
const RESERVED: ReadonlySet<string> = new Set(['health']);
const CONFIG_BYTES_MAX = 16_384;
const WHEN_CHARS_MAX = 1_024;

const part = textLike(1, 32, /^[a-z0-9_]{1,32}$/, 'have small letters, digits and _ only');

const condition: Shape = {
  kind: 'own',
  check(value, path, context) {
    const { findings } = context;
    if (typeof value !== 'string') return findings.error(path, 'type', 'must be a text');
    if (value.length > WHEN_CHARS_MAX)
      return findings.error(path, 'too_large', `must have at most ${WHEN_CHARS_MAX} characters`);
    compileWhen(value, path, context);
  },
};

const settings: Shape = {
  kind: 'own',
  check(value, path, context) {
    check(value, { kind: 'open' }, path, context);
    if (Buffer.byteLength(JSON.stringify(value) ?? '') <= CONFIG_BYTES_MAX) return;
    context.findings.error(path, 'too_large', `must have at most ${CONFIG_BYTES_MAX} bytes`);
  },
};

const EXTENSION: Shape = {
  kind: 'record',
  fields: {
    id: {
      shape: {
        kind: 'own',
        check(value, path, { findings }) {
          if (typeof value !== 'string' || !ID.test(value)) findings.error(path, 'pattern', `must match ${ID.source}`);
          else if (RESERVED.has(value)) findings.error(path, 'conflict', 'is reserved');
        },
      },
      isRequired: true,
    },
    type: { shape: word(EXTENSION_TYPES), isRequired: true },
    timeout_ms: { shape: integer(10, 5_000) },
    retry: { shape: integer(0, 3) },
    enabled: { shape: boolean },
    config: { shape: settings },
    config_schema: {
      shape: { kind: 'own', check: (value, path, { findings }) => void readSettingsSchema(value, path, findings) },
    },
    versions: {
      shape: list(
        {
          kind: 'record',
          fields: {
            version: { shape: part, isRequired: true },
            when: { shape: condition },
            enabled: { shape: boolean },
          },
        },
        0,
        16,
      ),
    },
    instances: {
      shape: list(
        {
          kind: 'record',
          fields: {
            id: { shape: part, isRequired: true },
            weight: { shape: integer(0, 100) },
            enabled: { shape: boolean },
          },
        },
        0,
        64,
      ),
    },
  },
};

interface VersionGiven {
  readonly version: string;
  readonly when?: string;
  readonly enabled?: boolean;
}

/** What the table has checked. */
interface Checked
  extends
    Pick<ExtensionDocument, 'id' | 'type'>,
    Partial<Omit<ExtensionDocument, 'id' | 'type' | 'versions' | 'instances'>> {
  readonly versions?: readonly VersionGiven[];
  readonly instances?: readonly { readonly id: string; readonly weight?: number; readonly enabled?: boolean }[];
}

/** With its defaults. Throws `validation_failed` with everything that is wrong in `errors`. */
export function readExtension(id: string, body: unknown): ExtensionDocument {
  const findings = new Findings();
  const given = typeof body === 'object' && body !== null && !Array.isArray(body) ? { id, ...body } : body;
  check(given, EXTENSION, '', { findings, major: 2 });
  if (findings.errors.length === 0) relate(given as Checked, id, findings);
  const { errors } = findings;
  if (errors.length > 0) {
    throw new BeamlineError('validation_failed', 'the extension is not valid', {
      details: { errors: errors.map(({ path, code, message }) => ({ path, code, message })), warnings: [] },
    });
  }
  // The table and the relations have just checked it.
  const {
    type,
    timeout_ms = 1_000,
    retry = 0,
    enabled = true,
    config,
    config_schema,
    versions = [],
    instances = [],
  } = given as Checked;
  return {
    id,
    type,
    timeout_ms,
    retry,
    enabled,
    ...(config === undefined ? {} : { config }),
    ...(config_schema === undefined ? {} : { config_schema }),
    versions: versions.map(versionOf),
    instances: instances.map(({ id: instance, weight = 100, enabled: isEnabled = true }) => ({
      id: instance,
      weight,
      enabled: isEnabled,
    })),
  };
}

const versionOf = ({ version, when, enabled = true }: VersionGiven): ExtensionDocument['versions'][number] =>
  when === undefined ? { version, enabled } : { version, when, enabled };

/** How long a provider may take and how often it is asked is said by policies, and whoever serves it shares its calls. */
const OF_PROVIDERS: Partial<Checked> = { timeout_ms: 1_000, retry: 0, versions: [], instances: [] };

function relateProvider(given: Checked, findings: Findings): void {
  for (const [name, usual] of Object.entries(OF_PROVIDERS)) {
    const value = given[name as keyof Checked];
    if (value === undefined || JSON.stringify(value) === JSON.stringify(usual)) continue;
    findings.error(pathTo('', name), 'conflict', 'says nothing of a provider: its policies do');
  }
  const settings = given.config_schema && readSettingsSchema(given.config_schema, '/config_schema', findings);
  settings?.check(given.config ?? {}, '/config', (path, message) => findings.error(path, 'invalid_config', message));
}

function relate(given: Checked, named: string, findings: Findings): void {
  const { id, type, versions = [], instances = [] } = given;
  if (type === 'provider') relateProvider(given, findings);
  if (id !== named) findings.error('/id', 'conflict', 'is not the one of the path');
  const seen = new Set<string>();
  for (const [place, name] of [
    ...versions.map(({ version }, index) => [pathTo('/versions', index), version] as const),
    ...instances.map((instance, index) => [pathTo('/instances', index), instance.id] as const),
  ]) {
    const unique = `${place.slice(0, place.lastIndexOf('/'))} ${name}`;
    if (seen.has(unique)) findings.error(place, 'duplicate', `'${name}' is there twice`);
    seen.add(unique);
  }
}

/** Of a configuration, or of a record. Throws `validation_failed` for a text that is no condition, and a schema that is none. */
export const descriptorOf = (document: ExtensionDocument): Descriptor => ({
  id: document.id,
  type: document.type,
  timeoutMs: document.timeout_ms,
  retry: document.retry,
  enabled: document.enabled,
  config: document.config ?? {},
  ...(document.config_schema === undefined ? {} : { settings: settingsFrom(document.config_schema, document.id) }),
  versions: document.versions.map(({ version, enabled, when }) => ({
    version,
    enabled,
    holds: conditionFrom(when, `extensions ${document.id} version ${version}`),
    ...(when === undefined ? {} : { when }),
  })),
  instances: document.instances,
});

/** What is told of an extension that stands in the configuration. */
export const documentOf = ({
  id,
  type,
  timeoutMs,
  retry,
  enabled,
  config,
  settings,
  versions = [],
  instances = [],
}: Descriptor): ExtensionDocument => ({
  id,
  type,
  timeout_ms: timeoutMs,
  retry,
  enabled,
  config: { ...config },
  ...(settings === undefined ? {} : { config_schema: settings.document }),
  versions: versions.map(({ version, enabled: isEnabled, when }) => ({
    version,
    enabled: isEnabled,
    ...(when === undefined ? {} : { when }),
  })),
  instances,
});

function conditionFrom(when: string | undefined, where: string): Condition {
  const findings = new Findings();
  const holds = when === undefined ? () => true : compileWhen(when, '/when', { findings, major: 2 });
  assertNone(findings, where);
  return holds;
}

function settingsFrom(schema: unknown, id: string): SettingsSchema {
  const findings = new Findings();
  const settings = readSettingsSchema(schema, '/config_schema', findings);
  assertNone(findings, `extensions ${id}`);
  if (settings === undefined) throw new TypeError('a schema without a fault was not read');
  return settings;
}

function assertNone({ errors: [fault] }: Findings, where: string): void {
  if (fault === undefined) return;
  const { path, message } = fault;
  throw new BeamlineError('validation_failed', `${where}: ${path} ${message}`, {
    details: { reason: 'configuration' },
  });
}
