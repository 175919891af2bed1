// Settings of the extensions that policies may name (policy 10.1).
import { Type } from 'typebox';
import { entry, integer, span, text } from './setting.ts';

const PART = '^[a-z0-9_]{1,32}$';

const version = entry({
  version: text('Its name; a server of it listens under `<id>-v<version>`.', { pattern: PART }),
  when: Type.Optional(text('Condition in the language of policies; absent: always.')),
  enabled: Type.Boolean({ default: true, description: 'Whether it may be asked.' }),
});

const instance = entry({
  id: text('Its name; it listens under `<id>-i<instance>`, after the version if there is one.', { pattern: PART }),
  weight: integer(100, 0, 100, 'Share of the calls beside the other instances.'),
  enabled: Type.Boolean({ default: true, description: 'Whether it may be asked.' }),
});

const extension = entry({
  id: text('Identifier; also the last part of its subject.', { pattern: '^[a-z][a-z0-9_]{0,63}$' }),
  type: Type.Enum(['pre', 'validator', 'post'], {
    description: 'When it is asked: before the decision, to change or to judge; or about the output.',
  }),
  timeout_ms: span(1000, 10, 'Longest wait for an answer, at most 5 s.'),
  retry: integer(0, 0, 3, 'Further tries after silence or absence.'),
  enabled: Type.Boolean({ default: true, description: 'Whether it may be asked.' }),
  versions: Type.Array(version, {
    maxItems: 16,
    default: [],
    description: 'The first enabled one whose condition holds is asked; none: the extension itself.',
  }),
  instances: Type.Array(instance, {
    maxItems: 64,
    default: [],
    description: 'Servers that are asked by name; none: whoever serves the extension shares its calls.',
  }),
  config: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), { description: 'Settings under those of a policy.' }),
  ),
  config_schema: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), {
      description: 'What both together must be: JSON Schema, as far as policies.md says.',
    }),
  ),
});

export const extensionsSchema = Type.Array(extension, {
  maxItems: 1000,
  default: [],
  description: 'Extensions that policies may name; one that is not listed is refused.',
});
