// The peer lives in a folder of its own with its own lockfile, so that its packages never mix with Beamline's.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const folder = new URL('./peer/', import.meta.url).pathname;
const server = `${folder}node_modules/@portkey-ai/gateway/build/start-server.js`;

/** The path of the peer's server; installs it when it is not there. */
export function installPeer(): string {
  if (existsSync(server)) return server;
  process.stderr.write('bench: installing the peer (once)\n');
  const { status, error, stderr } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status === 0 && existsSync(server)) return server;
  throw new Error(`npm ci failed in bench/peer: ${error?.message ?? stderr.trim().split('\n').at(-1) ?? ''}`);
}
