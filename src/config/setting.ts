// How a setting is declared: once, with its type, bounds, default and description.
// Validation, defaults, environment names, `--check-config` and the reference page all derive from these declarations.
import { type TProperties, type TSchema, Type } from 'typebox';

const ID = '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$';
const TOKEN = '^[A-Za-z0-9_-]{1,128}$';
const NAME = '^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}$';
const SECRET = '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$';

/** The `title` of a secret reference: what holds one is masked in every output. */
export const SECRET_TITLE = 'a secret reference';

export const integer = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum, description });

/** A span of milliseconds, at most a day. */
export const span = (value: number, minimum: number, description: string) =>
  integer(value, minimum, 86_400_000, description);

/** A share from 0 to 1. */
export const share = (value: number, description: string) =>
  Type.Number({ default: value, minimum: 0, maximum: 1, description });

/** An identifier of the HTTP edge: 1 to 128 characters. */
export const id = (description: string) => Type.String({ pattern: ID, title: 'an identifier', description });

/** An identifier that is also a token of a bus subject. */
export const token = (description: string, more: { default?: string } = {}) =>
  Type.String({ pattern: TOKEN, title: 'an identifier', description, ...more });

export const text = (description: string, more: { default?: string; pattern?: string } = {}) =>
  Type.String({ minLength: 1, maxLength: 2048, description, ...more });

/** `env:NAME` or `file:/path`; a literal secret does not match. */
export const secretRef = (description: string) =>
  Type.String({
    pattern: SECRET,
    title: SECRET_TITLE,
    description: `${description} \`env:NAME\` or \`file:/path\`.`,
  });

/** Settings that belong together; absent means all defaults. */
export const section = <P extends TProperties>(properties: P) =>
  Type.Object(properties, { additionalProperties: false, default: {} });

/** One entry of a list or a map. */
export const entry = <P extends TProperties>(properties: P) => Type.Object(properties, { additionalProperties: false });

/** A map whose keys are names of models, aliases or headers. */
export const named = <V extends TSchema>(value: V, description: string, more: { default?: object } = {}) =>
  Type.Record(Type.String({ pattern: NAME }), value, {
    additionalProperties: false,
    description,
    ...more,
  });
