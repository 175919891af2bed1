// `beamline key create`: makes an API key, shows it once, and prints the record that the gateway is configured with.
import { defineCommand } from 'citty';
import { generateApiKey, hashApiKey, prefixOf } from '../auth/api-key.ts';
import { environment } from '../config/environment.ts';
import { openSecret } from '../config/secret.ts';
import { systemClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { UsageError } from './exit.ts';
import { print } from './print.ts';

const PEPPER_LENGTH_MIN = 32;
const TENANT = /^[A-Za-z0-9_-]{1,128}$/;

const create = defineCommand({
  meta: { name: 'create', description: 'Make an API key; it is shown once' },
  args: {
    tenant: {
      type: 'string',
      required: true,
      valueHint: 'id',
      description: 'Tenants that the key acts for, comma separated',
    },
    role: {
      type: 'enum',
      required: true,
      options: ['viewer', 'operator', 'admin', 'service'],
      description: 'What the key may do',
    },
    name: { type: 'string', default: 'unnamed', description: 'Name for people' },
    test: { type: 'boolean', default: false, description: 'Mark the key as one for tests' },
    pepper: {
      type: 'string',
      default: 'env:BEAMLINE_PEPPER',
      valueHint: 'ref',
      description: 'The secret that gateway.auth.pepper.current refers to, env:NAME or file:/path',
    },
  },
  run({ args }) {
    const tenants = args.tenant.split(',').map((tenant) => tenant.trim());
    const wrong = tenants.find((tenant) => !TENANT.test(tenant));
    if (wrong !== undefined) throw new UsageError(`${JSON.stringify(wrong)} is not a tenant id`);
    const key = generateApiKey(args.test ? 'test' : 'live');
    const prefix = prefixOf(key) ?? '';
    const record = {
      id: `key_${prefix.slice(-8)}`,
      name: args.name,
      prefix,
      hash: hashApiKey(key, pepperOf(args.pepper)),
      tenants,
      role: args.role,
    };
    print(`${key}\n\nIt is not shown again. Add the record to gateway.auth.keys:\n${entryOf(record)}`);
  },
});

export const keyCommand = defineCommand({
  meta: { name: 'key', description: 'API keys' },
  subCommands: { create },
});

function pepperOf(ref: string): string {
  if (!/^(env|file):/.test(ref)) throw new UsageError('--pepper must be env:NAME or file:/path');
  const pepper = openSecret(ref, { env: environment, clock: systemClock })();
  if (pepper !== undefined && pepper.length >= PEPPER_LENGTH_MIN) return pepper;
  throw new BeamlineError(
    'validation_failed',
    `${ref} must hold a pepper of at least ${PEPPER_LENGTH_MIN} characters`,
    {
      details: { reason: 'configuration' },
    },
  );
}

/** An entry of a YAML list; JSON values are YAML values. */
function entryOf(record: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(record).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `  - ${lines.join('\n    ')}`;
}
