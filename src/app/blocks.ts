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
import { openSqlQuery, type SqlConnection } from '../worker/blocks/sql-query.ts';
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
    ...(worker.sql.connections.length === 0 ? [] : [opening.use(openSql(ground))]),
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

function openSql({ config, timers }: Ground): ReturnType<typeof openSqlQuery> {
  const connections = config.worker.sql.connections.map(
    ({ id, url, tenants, write, allow_text, statements, timeout_ms }): SqlConnection => ({
      id,
      path: url.slice('sqlite:'.length),
      tenants,
      write,
      allowText: allow_text,
      statements,
      timeoutMs: timeout_ms,
    }),
  );
  try {
    return openSqlQuery({ connections, timers });
  } catch (fault) {
    if (!(fault instanceof RangeError)) throw fault;
    throw new BeamlineError('validation_failed', fault.message, { details: { reason: 'configuration' } });
  }
}
