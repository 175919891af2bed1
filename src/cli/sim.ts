// `beamline sim`: the simulated provider as an HTTP server, for trying adapters and faults without a network.
import { readFileSync } from 'node:fs';
import { defineCommand } from 'citty';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openArrivalLog } from '../provider/arrival-log.ts';
import { parseScript, type SimulatedScript } from '../provider/simulated-script.ts';
import { startSimulatedServer } from '../provider/simulated-server.ts';
import { UsageError } from './exit.ts';
import { print } from './print.ts';
import { untilSignal } from './signal.ts';

export const simCommand = defineCommand({
  meta: { name: 'sim', description: 'Serve the simulated provider over HTTP' },
  args: {
    host: { type: 'string', default: '127.0.0.1', description: 'Address to bind' },
    port: { type: 'string', default: '8089', description: 'Port to bind; 0 takes a free one' },
    script: { type: 'string', valueHint: 'file', description: 'JSON file with the behaviour' },
    log: {
      type: 'string',
      valueHint: 'file',
      description: 'Append a line for each chat request that arrives, synced before it is answered',
    },
  },
  async run({ args }) {
    const script = args.script === undefined ? {} : readScript(args.script);
    using timers = new Timers(systemClock);
    const { host } = args;
    using log = args.log === undefined ? undefined : openArrivalLog(args.log);
    await using server = await startSimulatedServer({
      host,
      port: portOf(args.port),
      script,
      timers,
      ...(log === undefined ? {} : { log: (arrival) => log.write(arrival) }),
    });
    print(`simulated provider: ${server.url}`);
    await untilSignal();
  },
});

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`--port ${JSON.stringify(text)} is not a port`);
}

function readScript(file: string): SimulatedScript {
  try {
    return parseScript(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown fault';
    throw new UsageError(`--script ${file} cannot be used: ${why}`);
  }
}
