// Opens the bus that the configuration names: NATS where there is an address, else the memory of this process.
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { environment } from '../config/environment.ts';
import { openSecret } from '../config/secret.ts';
import type { Ground } from './ground.ts';

export async function openBus({ config, timers, telemetry }: Ground, name: string): Promise<Bus> {
  const { url, creds, max_pending_bytes: outboundBytesMax } = config.nats;
  if (url === undefined) return openMemoryBus({ timers, telemetry });
  // Loaded when it is needed: a process on the memory bus has no use for the client library.
  const { openNatsBus } = await import('../bus/nats.ts');
  return openNatsBus({
    url,
    name,
    timers,
    telemetry,
    outboundBytesMax,
    ...(creds === undefined ? {} : { creds: openSecret(creds, { env: environment, clock: timers.clock }) }),
  });
}
