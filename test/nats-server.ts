// A real nats-server for tests: a free loopback port, JetStream in a temporary folder, gone with the test.
// A machine without the server fails the test: a suite that skips proves nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 10_000;

export interface NatsServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** The folder in which it keeps streams. */
  readonly store: string;
  /** Of what runs now. */
  readonly pid: number;
  /** SIGKILL; the store stays. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for its end; the store stays. */
  terminate(): Promise<void>;
  /** Kills what runs, then starts a server with the same port and store. */
  restart(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** Kills the server and removes its store. */
  stop(): Promise<void>;
}

export interface NatsServerOptions {
  /** Absent: a free one. */
  readonly port?: number;
  /** Flags beside address, port and store. */
  readonly args?: readonly string[];
}

export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const program = findServer();
  const port = options.port ?? (await freePort());
  const store = await mkdtemp(join(tmpdir(), 'beamline-nats-'));
  const own = ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', store];
  const args = [...own, ...(options.args ?? [])];
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(program, args, { stdio: 'ignore' });
    guard(child, store);
    await listening(port, child);
    return child;
  };
  let child = await start();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  };
  const kill = (): Promise<void> => end('SIGKILL');
  const stop = async (): Promise<void> => {
    await kill();
    await rm(store, { recursive: true, force: true });
  };
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    store,
    get pid() {
      return child.pid ?? 0;
    },
    kill,
    terminate: () => end('SIGTERM'),
    async restart() {
      await kill();
      child = await start();
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Ends the server and its store even if the test process is killed: the guard reads until our end of its input closes. */
function guard(child: ChildProcess, store: string): void {
  const script = 'cat >/dev/null; kill -9 "$0" && rm -rf "$1"';
  const guardian = spawn('/bin/sh', ['-c', script, String(child.pid), store], { stdio: ['pipe', 'ignore', 'ignore'] });
  guardian.unref();
  child.once('exit', () => guardian.kill('SIGKILL'));
}

function findServer(): string {
  // eslint-disable-next-line node/no-process-env -- the search path of programs
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const found = folders.map((folder) => join(folder, 'nats-server')).find(isProgram);
  if (found === undefined) throw new Error('this test needs nats-server, and it is not on the PATH');
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

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  const untilMs = performance.now() + START_MS;
  while (performance.now() < untilMs) {
    if (child.exitCode !== null) throw new Error(`nats-server ended with code ${child.exitCode}`);
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    if (await accepts(port)) return;
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(20);
  }
  child.kill('SIGKILL');
  throw new Error('nats-server did not start in time');
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (isOpen: boolean) => (): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('data', answer(true));
    socket.once('error', answer(false));
  });
}
