// Every setting of every role, and the type that the roles receive. Keys are snake_case, as in the file.
import { Type } from 'typebox';
import { budgetsSchema } from './budget-schema.ts';
import { contractsSchema } from './contracts-schema.ts';
import { blocksSchema } from './blocks-schema.ts';
import { extensionsSchema } from './extension-schema.ts';
import { decisionsSchema } from './decisions-schema.ts';
import { dlqSchema } from './dlq-schema.ts';
import { gatewaySchema } from './gateway-schema.ts';
import { heirSettings } from './heir-schema.ts';
import { ledgerSchema } from './ledger-schema.ts';
import { operationsSettings } from './operations-schema.ts';
import { providersSchema } from './provider-schema.ts';
import { workerSchema } from './worker-schema.ts';
import { integer, secretRef, section, span, text, token } from './setting.ts';

export const configSchema = section({
  log_level: Type.Enum(['debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    description: 'Least severe level that is logged.',
  }),
  data_dir: Type.Optional(
    text(
      'Folder, of this process only, for what outlives it: without NATS the streams and buckets, and by default what `policy.data_dir` is for. Absent keeps all in memory.',
    ),
  ),
  nats: section({
    url: Type.Optional(
      text(
        'Servers, comma separated; absent means the in-memory bus of `beamline up`. Credentials belong in `nats.creds`.',
        {
          pattern: '^((nats|tls)://)?[^@\\s/]+(,((nats|tls)://)?[^@\\s/]+)*$',
        },
      ),
    ),
    creds: Type.Optional(secretRef('NATS credentials file.')),
    replicas: integer(
      0,
      0,
      5,
      'Copies of each stream and bucket; 0 takes 3 in a cluster of three or more servers, else 1, and never makes less of what is there.',
    ),
    max_pending_bytes: integer(
      33_554_432,
      65_536,
      1_073_741_824,
      'Outbound bytes buffered before callers get `unavailable`.',
    ),
  }),
  frames: section({
    heartbeat_ms: span(5000, 10, 'Longest gap between two frames of a stream.'),
    silence_ms: span(15_000, 20, 'A stream without frames for this time is dead.'),
  }),
  contracts: contractsSchema,
  dlq: dlqSchema,
  gateway: gatewaySchema,
  router: section({
    id: Type.Optional(token('Identifier of this process; absent generates one.')),
    http: operationsSettings('router'),
    accept_wait_ms: span(1000, 10, 'Time that a worker has to accept an assignment.'),
    in_flight_max: integer(4000, 1, 1_000_000, 'Attempts that one router owns at a time; more are refused.'),
    dispatch_window: integer(
      0,
      0,
      100_000,
      'Assignments of jobs of one tenant and class (`io`, `cpu`) that are published at a time; 0 follows the slots of the fleet, shared by weight.',
    ),
    jobs_outstanding: integer(10_000, 1, 1_000_000, 'Jobs of one tenant that have not ended; more are refused.'),
    jobs_bytes_max: Type.Optional(
      Type.Integer({
        minimum: 1_048_576,
        maximum: 1_099_511_627_776,
        description:
          'Bytes of the bucket of jobs; nothing more is accepted at nine tenths of it. Absent is 4 GiB on NATS, 1 GiB with `data_dir`, else 256 MiB.',
      }),
    ),
    jobs_retention_hours: integer(
      216,
      2,
      8760,
      'Time for which a job is kept after it was last written: by default seven days after its end, and two for what comes before. No job may live longer than eight ninths of it.',
    ),
    sweep_ms: span(30_000, 1000, 'Time between two looks for jobs that nobody moves.'),
  }),
  policy: section({
    source: Type.Enum(['files', 'kv', 'heir'], {
      default: 'files',
      description: 'Where policies come from: the folder `policy.dir`, a bucket of the bus, or the HTTP policy store.',
    }),
    dir: Type.Optional(
      text('Folder of `<tenant>/<policy>.yaml` or `.json`; absent serves the built-in policies only.'),
    ),
    data_dir: Type.Optional(
      text(
        'Folder, of this process only, for the snapshot of policies and for the revisions of those in files; absent is `policies` below `data_dir`, else revisions stay in memory.',
      ),
    ),
  }),
  ...heirSettings,
  decisions: decisionsSchema,
  extensions: extensionsSchema,
  budgets: budgetsSchema,
  worker: workerSchema,
  blocks: blocksSchema,
  ledger: ledgerSchema,
  providers: providersSchema,
});

type Frozen<T> = T extends (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

/** The effective configuration, deeply frozen. */
export type Config = Frozen<Type.Static<typeof configSchema>>;
export type ProviderConfig = Config['providers']['list'][number];
