// The worker's wiring: reads like its deployment.
import { availableParallelism } from 'node:os';
import type { Bus } from '../bus/bus.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import { Outbox } from '../worker/outbox.ts';
import { measure, type Measured } from '../worker/overload-watch.ts';
import { startWorker } from '../worker/worker.ts';
import { openBlockList } from './blocks.ts';
import { crashPoints } from './crash-points.ts';
import { dataFolder } from './data-dir.ts';
import type { Ground } from './ground.ts';
import { openLivePrices } from './live-prices.ts';
import { openProviders } from './providers.ts';
import { openSpilledLetters } from './spilled-letters.ts';

/** In one process there is one clock. */
export async function openWorker(ground: Ground, bus: Bus, clockSkewMs = (): number => 0): Promise<Role> {
  const { worker, frames, providers: limits } = ground.config;
  await using opening = new AsyncDisposableStack();
  const providers = opening.use(await openProviders(ground, bus, worker.pool));
  const blocks = opening.use(await openBlockList(ground, bus));
  const { costOf } = opening.use(await openLivePrices(ground, bus, ground.telemetry.log.for('worker')));
  const { spill } = opening.use(await openSpilledLetters(ground, bus, 'worker'));
  const outbox = await openOutbox(ground);
  opening.use(outbox);
  const role = opening.use(
    await startWorker({
      ...ground,
      bus,
      costOf,
      clockSkewMs,
      outbox,
      ...(ground.config.nats.url === undefined ? { measured: withoutLag(measure(ground.timers)) } : {}),
      crash: crashPoints(ground),
      blocks: blocks.list,
      blobs: blocks.blobs,
      spill,
      target: (providerId, model) => providers.target(providerId, model),
      providers: providers.ids,
      models: providers.models,
      settings: {
        ...worker,
        id: worker.id ?? newProcessId('worker'),
        slots: { io: worker.slots.io, cpu: worker.slots.cpu ?? availableParallelism() },
        frame_heartbeat_ms: frames.heartbeat_ms,
        first_chunk_ms: limits.first_chunk_ms,
        idle_ms: limits.idle_ms,
      },
    }),
  );
  const opened = opening.move();
  return {
    name: 'worker',
    get abandoned() {
      return role.abandoned ?? 0;
    },
    checks: () => role.checks?.() ?? {},
    state: () => role.state?.() ?? {},
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Undefined where nothing is to outlive the process. */
async function openOutbox({ config, timers, telemetry }: Ground): Promise<Outbox | undefined> {
  const folder = config.worker.data_dir ?? dataFolder(config, 'worker');
  if (folder === undefined) return undefined;
  const { sync_ms: syncMs, max_bytes: bytesMax } = config.worker.outbox;
  return Outbox.open({ folder, bytesMax, syncMs, timers, telemetry });
}

/** In one process the loop is everybody's: its lag says nothing of the worker, and the gateway has bounds of its own. */
const withoutLag = (measured: Measured): Measured => ({
  lagMs: () => 0,
  memoryShare: () => measured.memoryShare(),
  [Symbol.dispose]: () => measured[Symbol.dispose](),
});
