// `beamline contracts canary show|set|judge`: how much of the traffic speaks v2, changed while all runs, and whether
// the stage may be followed by the next one (contracts 11).
import { setTimeout as sleep } from 'node:timers/promises';
import { defineCommand } from 'citty';
import { openBus } from '../app/bus.ts';
import { openGround } from '../app/ground.ts';
import type { KeyValue } from '../bus/bus.ts';
import { type ContractSwitch, contractSwitch, contractSwitchKey, controlBucket } from '../contracts/contract-switch.ts';
import { BeamlineError } from '../core/errors.ts';
import { gatesOf } from './contracts-gates.ts';
import { EXIT, UsageError } from './exit.ts';
import { readPage, type Sample, samplesOf } from './metrics-page.ts';
import { print } from './print.ts';
import { readRoleConfig, roleArgs } from './role-config.ts';

const STAGES = [1, 10, 25, 50, 100] as const;
const busArgs = { config: roleArgs.config, nats: roleArgs.nats } as const;

interface BusArgs {
  readonly config?: string | undefined;
  readonly nats?: string | undefined;
}

const show = defineCommand({
  meta: { name: 'show', description: 'Tell the share of v2 that operators have set' },
  args: busArgs,
  run: ({ args }) =>
    withControl(args, async (bucket) => {
      const entry = await bucket.get(contractSwitchKey);
      print(entry === undefined ? 'not set: the configuration of each gateway holds' : textOf(read(entry.value)));
    }),
});

const set = defineCommand({
  meta: { name: 'set', description: 'Set the share of plain decisions that speak v2; every gateway follows at once' },
  args: {
    ...busArgs,
    percent: { type: 'string', required: true, valueHint: STAGES.join('|'), description: 'Per cent; 0 rolls back' },
    tenants: { type: 'string', valueHint: 'a,b', description: 'Only these tenants; absent means all' },
  },
  run({ args }) {
    const tenants = (args.tenants ?? '').split(',').flatMap((id) => (id.trim() === '' ? [] : [id.trim()]));
    const next = { version: '2', enabled: true, percent: Number(args.percent), tenants };
    if (args.percent.trim() === '' || !contractSwitch.check(next)) {
      throw new UsageError('--percent takes a whole number from 0 to 100, --tenants ids separated by commas');
    }
    return withControl(args, async (bucket) => {
      await bucket.put(contractSwitchKey, JSON.stringify(next));
      print(textOf(next));
    });
  },
});

const judge = defineCommand({
  meta: { name: 'judge', description: 'Judge a stage by what the metrics grow by meanwhile; exit 1 if a gate fails' },
  args: {
    metrics: { type: 'string', required: true, valueHint: 'url,url', description: 'Pages of metrics of all processes' },
    seconds: { type: 'string', default: '60', description: 'Time between the two readings' },
    json: { type: 'boolean', default: false, description: 'Print the gates as JSON' },
  },
  async run({ args }) {
    const seconds = Number(args.seconds);
    if (!(seconds > 0 && seconds <= 86_400)) throw new UsageError('--seconds takes a number above 0, at most a day');
    const urls = args.metrics.split(',');
    const before = await readAll(urls);
    await sleep(seconds * 1_000);
    const gates = gatesOf(before, await readAll(urls));
    if (args.json) print(JSON.stringify(gates, undefined, 2));
    else
      for (const { name, passes, measured, limit } of gates) print(`${word(passes)}  ${name}: ${measured} (${limit})`);
    return gates.every(({ passes }) => passes === true) ? EXIT.ok : EXIT.failed;
  },
});

export const canaryCommand = defineCommand({
  meta: { name: 'canary', description: 'Move plain decisions from v1 to v2 by shares' },
  subCommands: { show, set, judge },
});

async function withControl(args: BusArgs, work: (bucket: KeyValue) => Promise<void>): Promise<void> {
  const { config } = readRoleConfig(args) ?? {};
  if (config?.nats.url === undefined) throw new UsageError('--nats is required: the switch stands in a bucket of NATS');
  const ground = openGround({ ...config, log_level: 'silent' }, { write: () => undefined });
  using _timers = ground.timers;
  await using bus = await openBus(ground, 'contracts-canary');
  await work(await bus.openBucket(controlBucket));
}

function read(text: string): ContractSwitch {
  const value: unknown = JSON.parse(text);
  if (contractSwitch.check(value)) return value;
  throw new BeamlineError('unavailable', `the switch cannot be read: ${contractSwitch.fault(value)}`);
}

const readAll = async (urls: readonly string[]): Promise<Sample[]> =>
  (await Promise.all(urls.map((url) => readPage(url)))).flatMap(samplesOf);

const textOf = ({ enabled, percent, tenants }: ContractSwitch): string =>
  `v2: ${enabled ? percent : 0} % of plain decisions of ${tenants.length === 0 ? 'all tenants' : tenants.join(', ')}`;

const word = (passes: boolean | undefined): string => (passes === undefined ? 'open' : passes ? 'pass' : 'FAIL');
