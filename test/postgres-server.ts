// A real PostgreSQL server for tests: its own cluster in a temporary folder, a free loopback port, gone with the test.
// A machine without the server fails the test: a suite that skips proves nothing. The server refuses to run as root, so
// root starts it as the user that its package made.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, globSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 30_000;
const USER = 'postgres';

export interface PostgresServer extends AsyncDisposable {
  readonly url: string;
  /** Ends the server as a crash would; the data stay. */
  kill(): Promise<void>;
  /** Kills what runs, then starts a server with the same port and data. */
  restart(): Promise<void>;
  /** A new, empty database of this server: its address. */
  createDatabase(): string;
  /** Kills the server and removes its data. */
  stop(): Promise<void>;
}

/** `isDurable` waits for the disk as in production; tests have no use for that. */
export async function startPostgresServer({ isDurable = false } = {}): Promise<PostgresServer> {
  const programs = findPrograms();
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'beamline-postgres-'));
  const data = join(folder, 'data');
  mkdirSync(data, { mode: 0o700 });
  const owner = ownerOf(folder, data);
  run(join(programs, 'initdb'), ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'], owner);
  // Without fsync: what a killed server wrote is still in the page cache of the system, which goes on.
  const args = [
    '-D',
    data,
    '-p',
    String(port),
    '-h',
    '127.0.0.1',
    '-k',
    data,
    '-c',
    `fsync=${isDurable ? 'on' : 'off'}`,
  ];
  const urlOf = (database: string): string => `postgres://${USER}@127.0.0.1:${port}/${database}`;
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(join(programs, 'postgres'), args, { stdio: 'ignore', ...owner });
    guard(child, folder);
    await accepting(child, () => isReady(programs, port));
    return child;
  };
  let child = await start();
  let databases = 0;
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    // Immediate shutdown: no checkpoint, and its own processes end with it.
    child.kill('SIGQUIT');
    await exited;
  };
  const stop = async (): Promise<void> => {
    await kill();
    await rm(folder, { recursive: true, force: true });
  };
  return {
    url: urlOf(USER),
    kill,
    async restart() {
      await kill();
      child = await start();
    },
    createDatabase() {
      const name = `test_${++databases}`;
      run(join(programs, 'createdb'), ['-h', '127.0.0.1', '-p', String(port), '-U', USER, name], {});
      return urlOf(name);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/** Gives the folders to the user that the server runs as, if that is not us. */
function ownerOf(...folders: readonly string[]): Owner {
  if (process.getuid?.() !== 0) return {};
  const idOf = (flag: string): number => Number(spawnSync('id', [flag, USER], { encoding: 'utf8' }).stdout);
  const owner = { uid: idOf('-u'), gid: idOf('-g') };
  for (const folder of folders) chownSync(folder, owner.uid, owner.gid);
  return owner;
}

function run(program: string, args: readonly string[], owner: Owner): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: '/', ...owner });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`);
}

/** Ends the server and its data even if the test process is killed: the guard reads until our end of its input closes. */
function guard(child: ChildProcess, folder: string): void {
  const script = 'cat >/dev/null; kill -QUIT "$0"; sleep 1; rm -rf "$1"';
  const guardian = spawn('/bin/sh', ['-c', script, String(child.pid), folder], { stdio: ['pipe', 'ignore', 'ignore'] });
  guardian.unref();
  child.once('exit', () => guardian.kill('SIGKILL'));
}

/** The newest of Debian's. */
function findPrograms(): string {
  const versionOf = (path: string): number => Number(/\/(\d+)\/bin$/.exec(path)?.[1] ?? 0);
  const found = globSync('/usr/lib/postgresql/*/bin')
    .toSorted((a, b) => versionOf(b) - versionOf(a))
    .find((folder) => isProgram(join(folder, 'initdb')));
  if (found === undefined) throw new Error('this test needs postgresql, and there is none in /usr/lib/postgresql');
  return found;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function accepting(child: ChildProcess, isThere: () => boolean): Promise<void> {
  const untilMs = performance.now() + START_MS;
  while (performance.now() < untilMs) {
    if (child.exitCode !== null) throw new Error(`postgres ended with code ${child.exitCode}`);
    if (isThere()) return;
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    await sleep(50);
  }
  child.kill('SIGQUIT');
  throw new Error('postgres did not start in time');
}

const isReady = (programs: string, port: number): boolean =>
  spawnSync(join(programs, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(port)]).status === 0;
