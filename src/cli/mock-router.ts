// `beamline mock-router`: answers decide from a fixture file, for integration tests of gateways and clients.
import { defineCommand } from 'citty';
import { openBus } from '../app/bus.ts';
import { openGround } from '../app/ground.ts';
import { startMockRouter } from '../app/mock-router.ts';
import { EXIT, UsageError } from './exit.ts';
import { openLogSink } from './log-sink.ts';
import { readMockFixtures } from './mock-fixtures.ts';
import { complain, print } from './print.ts';
import { readRoleConfig, roleArgs } from './role-config.ts';
import { untilSignal } from './signal.ts';

export const mockRouterCommand = defineCommand({
  meta: { name: 'mock-router', description: 'Answer decide v1 and v2 from a fixture file, without a system' },
  args: {
    fixtures: { type: 'string', required: true, valueHint: 'file', description: 'Answers, YAML or JSON' },
    nats: roleArgs.nats,
    config: roleArgs.config,
  },
  async run({ args }) {
    const fixtures = readMockFixtures(args.fixtures);
    if (fixtures.kind === 'unreadable') {
      for (const fault of fixtures.faults) complain(fault);
      return EXIT.unreadable;
    }
    const { config } = readRoleConfig(args) ?? {};
    if (config?.nats.url === undefined) throw new UsageError('--nats is required: the mock router speaks over NATS');
    const ground = openGround(config, openLogSink(process.stderr));
    using _timers = ground.timers;
    await using bus = await openBus(ground, 'mock-router');
    await using _router = await startMockRouter({
      bus,
      timers: ground.timers,
      fixtures: fixtures.found,
      onRequest: ({ subject, requestId, answer }) => print(`${subject} ${requestId} -> ${answer}`),
    });
    print(`mock router: ${fixtures.found.answers.length} answers`);
    await untilSignal();
    return EXIT.ok;
  },
});
