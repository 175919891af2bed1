// The job types that a worker runs beside `ai.chat`, each with what the configuration lets it reach.
import { availableParallelism } from 'node:os';
import type { Config } from '../config/schema.ts';
import { BeamlineError } from '../core/errors.ts';
import { Egress } from '../provider/egress.ts';
import { parseEgressAllow } from '../provider/egress-allow.ts';
import { openBlobFiles } from '../store/blob-files.ts';
import type { BlobStore } from '../store/blobs.ts';
import type { Block } from '../worker/blocks/block.ts';
import type { BlockSecret } from '../worker/blocks/block-secrets.ts';
import { blobGet, blobPut } from '../worker/blocks/fs-blobs.ts';
import { httpRequest } from '../worker/blocks/http-request.ts';
import { humanApproval } from '../worker/blocks/human-approval.ts';
import { openSqlQuery, type SqlConnection } from '../worker/blocks/sql-query.ts';
import { testEcho } from '../worker/blocks/test-echo.ts';
import { testSleep } from '../worker/blocks/test-sleep.ts';
import { openTransform } from '../worker/blocks/transform.ts';
import { dataFolder } from './data-dir.ts';
import type { Ground } from './ground.ts';
import { requiredSecret } from './secret.ts';

export interface OpenedBlocks extends AsyncDisposable {
  readonly list: readonly Block[];
  /** Undefined where nothing says where blobs are kept; then there are no `fs.*` blocks either. */
  readonly blobs: BlobStore | undefined;
}

const CONNECT_MS = 5_000;

/** Throws `validation_failed` for an entry, a secret or a statement that cannot be used, and what the system says of a folder. */
export async function openBlockList(ground: Ground): Promise<OpenedBlocks> {
  const { config, timers } = ground;
  const { worker, blocks: settings } = config;
  await using opening = new AsyncDisposableStack();
  const allow = parseEgressAllow(worker.egress.allow);
  const egress = opening.use(new Egress({ allow, timers, connectMs: CONNECT_MS }));
  const folder = blobFolder(config);
  const { blob_bytes: quotaBytes } = worker.quota;
  const blobs =
    folder === undefined ? undefined : opening.use(await openBlobFiles({ dir: folder, quotaBytes, timers }));
  const transform = opening.use(openTransform({ timers, threadsMax: worker.slots.cpu ?? availableParallelism() }));
  const list: Block[] = [
    httpRequest({ egress, secrets: secretsOf(ground), blobs }),
    humanApproval,
    transform,
    ...(blobs === undefined ? [] : [blobPut(blobs), blobGet(blobs)]),
    ...(worker.sql.connections.length === 0 ? [] : [opening.use(openSql(ground))]),
    ...(settings.test ? [testEcho, testSleep] : []),
  ];
  const opened = opening.move();
  return { list, blobs, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const blobFolder = (config: Config): string | undefined =>
  config.worker.blobs.url?.slice('file:'.length) ?? dataFolder(config, 'blobs');

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
