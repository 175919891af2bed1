// Settings of the extensions that policies may name (policy 10.1).
import { Type } from 'typebox';
import { entry, integer, span, text } from './setting.ts';

const extension = entry({
  id: text('Identifier; also the last part of its subject.', { pattern: '^[a-z][a-z0-9_]{0,63}$' }),
  type: Type.Enum(['pre', 'validator'], {
    description: 'When it is asked: before the decision, to change or to judge.',
  }),
  timeout_ms: span(1000, 10, 'Longest wait for an answer, at most 5 s.'),
  retry: integer(0, 0, 3, 'Further tries after silence or absence.'),
  enabled: Type.Boolean({ default: true, description: 'Whether it may be asked.' }),
  config: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), { description: 'Settings under those of a policy.' }),
  ),
});

export const extensionsSchema = Type.Array(extension, {
  maxItems: 1000,
  default: [],
  description: 'Extensions that policies may name; one that is not listed is refused.',
});
