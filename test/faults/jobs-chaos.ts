// `npm run chaos`: jobs through the public door while processes are killed; one table, exit code 0 if nothing was lost,
// doubled or invented. The same seed orders the same jobs and kills the same roles after the same waits. `--kills` is the
// least of each role: they go on, one every `--kill-every` milliseconds, until the orders are done.
// `--servers 3` works on a cluster of three NATS servers and kills one of them at a time;
// `--mode embedded` kills one process that has all roles and a data folder; `--ack-wait` shortens the half minute after which
// a server gives out again what a dead process held.
/* eslint-disable no-console -- a command of its own */
import { parseArgs } from 'node:util';
import { type ChaosOptions, runChaos } from './chaos/chaos.ts';
import { type Victim, VICTIMS } from './chaos/fleet.ts';
import { verdictTable } from './chaos/verdict-table.ts';

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '2000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    'kill-every': { type: 'string', default: '2000' },
    kills: { type: 'string', default: '4' },
    roles: { type: 'string' },
    mode: { type: 'string', default: 'apart' },
    servers: { type: 'string', default: '1' },
    'answer-ms': { type: 'string', default: '50' },
    'ack-wait': { type: 'string' },
    folder: { type: 'string' },
  },
});

function numberIn(name: 'jobs' | 'seed' | 'kill-every' | 'kills' | 'answer-ms' | 'ack-wait'): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`--${name} ${values[name]} is not a whole number`);
}

const isVictim = (word: string): word is Victim => (VICTIMS as readonly string[]).includes(word);
const { mode } = values;
if (mode !== 'apart' && mode !== 'embedded') throw new RangeError('--mode must be apart or embedded');
const { servers } = values;
if (servers !== '1' && servers !== '3') throw new RangeError('--servers must be 1 or 3');
const roles = values.roles?.split(',') ?? VICTIMS;
if (!roles.every(isVictim)) throw new RangeError(`--roles must be of ${VICTIMS.join(', ')}`);
const victims: readonly Victim[] = mode === 'embedded' ? ['up'] : roles;

const options: ChaosOptions = {
  mode,
  servers: servers === '1' ? 1 : 3,
  jobs: numberIn('jobs'),
  seed: numberIn('seed'),
  killEveryMs: numberIn('kill-every'),
  killsEach: numberIn('kills'),
  victims,
  answerMs: numberIn('answer-ms'),
  drainMs: 300_000,
  ackWaitMs: values['ack-wait'] === undefined ? undefined : numberIn('ack-wait'),
  folder: values.folder,
  onKill: (victim, seconds) => console.error(`${seconds.toFixed(1).padStart(7)} s  killed ${victim}`),
};
console.error(`seed ${options.seed}`);
const verdict = await runChaos(options);
console.log(verdictTable(options, verdict));
process.exitCode = verdict.faults.length === 0 ? 0 : 1;
