// The job types that a worker runs beside `ai.chat`, each with what the configuration lets it reach.
import { availableParallelism } from 'node:os';
import type { Bus } from '../bus/bus.ts';
import { BeamlineError } from '../core/errors.ts';
import { Egress } from '../provider/egress.ts';
import { parseEgressAllow } from '../provider/egress-allow.ts';
import type { Block } from '../worker/blocks/block.ts';
import type { BlockSecret } from '../worker/blocks/block-secrets.ts';
import { blobGet, blobPut } from '../worker/blocks/fs-blobs.ts';
import { httpRequest } from '../worker/blocks/http-request.ts';
import { humanApproval } from '../worker/blocks/human-approval.ts';
import { sqlQuery, type SqlConnection } from '../worker/blocks/sql-query.ts';
import { openSqliteFiles } from '../worker/blocks/sqlite-queries.ts';
import { testEcho } from '../worker/blocks/test-echo.ts';
import { testSleep } from '../worker/blocks/test-sleep.ts';
import { openTransform } from '../worker/blocks/transform.ts';
import type { JobBlobs } from '../worker/jobs/job-blobs.ts';
import { openBlockBlobs, openBusBlobs } from './blobs.ts';
import type { Ground } from './ground.ts';
import { requiredSecret } from './secret.ts';

export interface OpenedBlocks extends AsyncDisposable {
  readonly list: readonly Block[];
  /** For what is too large for the messages of a job. */
  readonly blobs: JobBlobs;
}

const CONNECT_MS = 5_000;

/** Throws `validation_failed` for an entry, a secret or a statement that cannot be used, and what the system says of a folder. */
export async function openBlockList(ground: Ground, bus: Bus): Promise<OpenedBlocks> {
  const { config, timers } = ground;
  const { worker, blocks: settings } = config;
  await using opening = new AsyncDisposableStack();
  const allow = parseEgressAllow(worker.egress.allow);
  const egress = opening.use(new Egress({ allow, timers, connectMs: CONNECT_MS }));
  const shared = await openBusBlobs(ground, bus);
  const { passing, named } = opening.use(await openBlockBlobs(ground, shared));
  const transform = opening.use(openTransform({ timers, threadsMax: worker.slots.cpu ?? availableParallelism() }));
  const list: Block[] = [
    httpRequest({ egress, secrets: secretsOf(ground), blobs: passing }),
    humanApproval,
    transform,
    ...(named === undefined ? [] : [blobPut(named), blobGet(named)]),
    ...(worker.sql.connections.length === 0 ? [] : [await openSql(ground, opening)]),
    ...(settings.test ? [testEcho, testSleep] : []),
  ];
  const opened = opening.move();
  const blobs: JobBlobs = {
    keep: (tenantId, bytes, owner) => shared.keep(tenantId, bytes, owner),
    read: (tenantId, ref) => passing.read(tenantId, ref),
  };
  return { list, blobs, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const secretsOf = ({ config, timers }: Ground): readonly BlockSecret[] =>
  config.worker.secrets.list.map(({ name, secret, tenants, hosts, header, scheme }) => ({
    name,
    tenants,
    hosts: hosts.map((host) => host.toLowerCase()),
    header,
    scheme,
    value: requiredSecret(`worker.secrets.list ${name}`, secret, timers.clock),
  }));

/** The client library of PostgreSQL is loaded when a connection needs it. */
async function openSql(ground: Ground, opening: AsyncDisposableStack): Promise<Block> {
  const { config, timers, telemetry } = ground;
  const files = opening.use(openSqliteFiles(timers));
  const connections: SqlConnection[] = [];
  for (const { id, url: address, tenants, write, allow_text, statements, timeout_ms } of config.worker.sql
    .connections) {
    const url = addressOf(`worker.sql.connections ${id}`, address, ground);
    const common = { id, tenants, write, allowText: allow_text, statements, timeoutMs: timeout_ms };
    if (url.startsWith('sqlite:')) {
      connections.push({ ...common, dialect: 'sqlite', database: files.open(url.slice('sqlite:'.length)) });
      continue;
    }
    // eslint-disable-next-line no-await-in-loop -- loaded once
    const { openPostgresQueries } = await import('../store/postgres-queries.ts');
    const log = telemetry.log.for('worker');
    const database = opening.use(openPostgresQueries({ url, log, timeoutMs: timeout_ms }));
    connections.push({ ...common, dialect: 'postgres', database });
  }
  try {
    return sqlQuery(connections);
  } catch (fault) {
    if (!(fault instanceof RangeError)) throw fault;
    throw new BeamlineError('validation_failed', fault.message, { details: { reason: 'configuration' } });
  }
}

/** As it stands in the configuration, or what a reference leads to. */
function addressOf(setting: string, address: string, { timers }: Ground): string {
  if (!/^(env|file):/.test(address)) return address;
  const url = requiredSecret(setting, address, timers.clock)() ?? '';
  if (/^(sqlite:\/|postgres(ql)?:\/\/)./.test(url)) return url;
  throw new BeamlineError('validation_failed', `${setting} refers to ${address}, which is no address of a database`, {
    details: { reason: 'configuration' },
  });
}
