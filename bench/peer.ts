// The peer lives in a folder of its own with its own lockfile, so that its packages never mix with Beamline's.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const folder = new URL('./peer/', import.meta.url).pathname;
const server = `${folder}node_modules/@portkey-ai/gateway/build/start-server.js`;
const ownNode = `${folder}node_modules/node-linux-${process.arch}/bin/node`;

/** How the peer is started. */
export interface Peer {
  readonly server: string;
  /** The Node on which its makers ship it: their container image is built on Node 20. */
  readonly ownNode: string;
}

/** Installs the peer when it is not there. */
export function installPeer(): Peer {
  const peer: Peer = { server, ownNode };
  const isThere = existsSync(server) && existsSync(ownNode);
  if (isThere) return peer;
  process.stderr.write('bench: installing the peer (once)\n');
  const { status, error, stderr } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status === 0 && existsSync(server)) return peer;
  throw new Error(`npm ci failed in bench/peer: ${error?.message ?? stderr.trim().split('\n').at(-1) ?? ''}`);
}
