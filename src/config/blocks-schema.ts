// The settings of blocks, the job types of a worker: which there are, and what they may reach (worker 11, 12, 16).
import { Type } from 'typebox';
import { entry, integer, named, secretRef, section, text, token } from './setting.ts';

const tenants = Type.Array(token('Identifier of a tenant.'), {
  minItems: 1,
  maxItems: 10_000,
  description: 'Tenants that may use it.',
});

const secret = entry({
  name: token('Name; payloads say `secret:<name>`.'),
  secret: secretRef('The credential.'),
  tenants,
  hosts: Type.Array(text('A host, or `host:port`.', { pattern: '^[^\\s/@?#]+$' }), {
    minItems: 1,
    maxItems: 100,
    description: 'Hosts that it is sent to; never to another, whatever a payload says.',
  }),
  header: text('Header that carries it.', { default: 'authorization', pattern: '^[A-Za-z0-9-]{1,64}$' }),
  scheme: Type.String({
    default: 'Bearer',
    pattern: '^[A-Za-z0-9]{0,32}$',
    title: 'a word',
    description: 'Word before it in the header; empty for none.',
  }),
});

const connection = entry({
  id: token('Identifier; payloads name it as `connection_id`.'),
  url: text(
    'The database: `sqlite:/path/file`, which must exist, or `postgres://user@host:port/database`; an address with a password by reference, `env:NAME` or `file:/path`. A role of PostgreSQL that may read files of the server is refused.',
    { pattern: '^(sqlite:/.+|postgres(ql)?://([^:@/\\s]+@)?[^@\\s]+|env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$' },
  ),
  tenants,
  write: Type.Boolean({ default: false, description: 'Whether statements may change rows.' }),
  allow_text: Type.Boolean({
    default: false,
    description: 'Whether a payload may bring a statement of its own instead of the name of one.',
  }),
  statements: named(
    text('One statement; every value is a `?`.'),
    'Statements by name. A name that is not here is refused unless `allow_text` is set.',
    { default: {} },
  ),
  timeout_ms: integer(5000, 10, 30_000, 'Longest time of one statement.'),
});

/** What the blocks of one worker reach; members of the section `worker`. */
export const reachSettings = {
  egress: section({
    allow: Type.Array(text('An entry.', { pattern: '^\\S+$' }), {
      maxItems: 1000,
      default: [],
      description:
        'What requests of jobs may reach beyond public https: a host or `host:port` (plain http and local addresses as well), a range of addresses such as `10.1.0.0/16`, or a port.',
    }),
  }),
  quota: section({
    blob_bytes: integer(1_073_741_824, 4096, 1_099_511_627_776, 'Bytes of all blobs of one tenant.'),
  }),
  blobs: section({
    url: Type.Optional(
      text(
        'Where objects with keys are kept: `file:/path`; absent is `blobs` below `data_dir`, else `fs.*` is not there. Outputs above 256 KiB stand in a bucket of the bus.',
        {
          pattern: '^file:/.+$',
        },
      ),
    ),
  }),
  sql: section({
    connections: Type.Array(connection, {
      maxItems: 1000,
      default: [],
      description: 'Databases that `sql.query` may ask.',
    }),
  }),
  secrets: section({
    list: Type.Array(secret, {
      maxItems: 1000,
      default: [],
      description: 'Credentials that `http.request` sends by name.',
    }),
  }),
};

export const blocksSchema = section({
  test: Type.Boolean({ default: false, description: 'Whether workers run `test.echo` and `test.sleep`.' }),
});
