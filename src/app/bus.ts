// Opens the bus that the configuration names: NATS where there is an address, else the memory of this process, which
// keeps a journal where there is a data folder.
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import type { BusJournal } from '../bus/memory-journal.ts';
import { environment } from '../config/environment.ts';
import { openSecret } from '../config/secret.ts';
import { dataFolder } from './data-dir.ts';
import type { Ground } from './ground.ts';

/** Throws `unavailable` where another process works with the data folder. */
export async function openBus(ground: Ground, name: string): Promise<Bus> {
  const { config, timers, telemetry } = ground;
  const { url, creds, replicas, max_pending_bytes: outboundBytesMax } = config.nats;
  if (url === undefined) return openMemoryBus({ timers, telemetry, journal: await openJournal(ground) });
  // Loaded when it is needed: a process on the memory bus has no use for the client library.
  const { openNatsBus } = await import('../bus/nats.ts');
  return openNatsBus({
    url,
    name,
    timers,
    telemetry,
    outboundBytesMax,
    replicas,
    ...(creds === undefined ? {} : { creds: openSecret(creds, { env: environment, clock: timers.clock }) }),
  });
}

async function openJournal({ config, timers, telemetry }: Ground): Promise<BusJournal | undefined> {
  const folder = dataFolder(config, 'bus');
  if (folder === undefined) return undefined;
  const { openBusJournal } = await import('../bus/memory-journal.ts');
  return openBusJournal({ folder, timers, telemetry });
}
