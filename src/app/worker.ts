// The worker's wiring: reads like its deployment.
import type { Bus } from '../bus/bus.ts';
import { openPriceBook, priceLines } from '../catalog/price-book.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import { startWorker } from '../worker/worker.ts';
import type { Ground } from './ground.ts';
import { openProviders } from './providers.ts';

export async function openWorker(ground: Ground, bus: Bus): Promise<Role> {
  const { worker, frames, providers: limits } = ground.config;
  await using opening = new AsyncDisposableStack();
  const providers = opening.use(openProviders(ground, worker.pool));
  const { costOf } = openPriceBook(priceLines(limits.list));
  opening.use(
    await startWorker({
      ...ground,
      bus,
      costOf,
      target: (providerId, model) => providers.target(providerId, model),
      providers: providers.ids,
      settings: {
        ...worker,
        id: worker.id ?? newProcessId('worker'),
        frame_heartbeat_ms: frames.heartbeat_ms,
        first_chunk_ms: limits.first_chunk_ms,
        idle_ms: limits.idle_ms,
      },
    }),
  );
  const opened = opening.move();
  return { name: 'worker', [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
