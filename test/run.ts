// `npm test`: brings the servers that the tests need, then runs every test file.
// A server that is missing and cannot be brought fails the tests; nothing is skipped.
/* eslint-disable no-console, node/no-process-env -- a command of its own */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const SERVERS = [
  { program: 'nats-server', package: 'nats-server' },
  { program: 'initdb', package: 'postgresql' },
] as const;
// Debian keeps the programs of a database server beside its version.
const VERSIONS = globSync('/usr/lib/postgresql/*/bin');
const PATHS = [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin', ...VERSIONS].join(':');

const has = (program: string): boolean => spawnSync('which', [program], { env: { PATH: PATHS } }).status === 0;

function bring(packages: readonly string[]): void {
  if (packages.length === 0) return;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !has('apt-get')) {
    console.error(`tests need ${packages.join(' ')}: install them, or run as root on Debian`);
    process.exit(69);
  }
  console.error(`bringing ${packages.join(' ')} (once)`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['update', '-qq'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const installed = spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (installed.status !== 0) process.exit(69);
}

bring(SERVERS.filter(({ program }) => !has(program)).map((server) => server.package));

const asked = process.argv.slice(2);
const files = asked.length > 0 ? asked : globSync(['{src,test}/**/*.test.ts', 'bench/*.test.ts']).toSorted();
// Most of the time of the slow ones goes into waiting: three at once fill two cores.
const concurrency = Math.max(3, availableParallelism());
const { status } = spawnSync(
  process.execPath,
  ['--test', `--test-concurrency=${concurrency}`, '--test-timeout=240000', ...files],
  { stdio: 'inherit', env: { ...process.env, PATH: PATHS } },
);
process.exitCode = status ?? 1;
