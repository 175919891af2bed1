// The gateway role: the HTTP edge over its ports. It starts ready and ends in the order of gateway 2, "Shutdown".
import type { Authenticator } from '../auth/principal.ts';
import type { BusState } from '../bus/bus.ts';
import type { DecideRequest, DecideResponse } from '../contracts/decide.ts';
import type { Checks } from '../core/health.ts';
import { afterOrHurried } from '../core/hurry.ts';
import type { Role } from '../core/role.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Administer } from './admin-client.ts';
import { Backpressure } from './backpressure.ts';
import type { BudgetBook } from './budget-book.ts';
import type { Edge } from './call.ts';
import { openEdgeMetrics } from './edge-metrics.ts';
import { Gate } from './gate.ts';
import { HTTP_DIALECTS } from './http-dialect.ts';
import type { Jobs } from './jobs/jobs.ts';
import type { AskLedger } from './ledger-client.ts';
import type { LetterDesk } from './letter-desk.ts';
import { Lifecycle } from './lifecycle.ts';
import { type Listener, openListener } from './listener.ts';
import type { ModelNames } from './model-port.ts';
import { servedDocument } from './openapi.ts';
import type { Exchanges } from './order.ts';
import { BODY_BYTES_MAX } from './read-body.ts';
import { RouteCounters } from './route-counters.ts';
import type { AskRouterLoad } from './router-load.ts';
import type { GatewaySettings } from './settings.ts';

export interface GatewayDeps {
  readonly settings: GatewaySettings;
  readonly exchanges: Exchanges;
  /** Asks the router for a decision alone. Rejects with a BeamlineError; a refusal is a reply with `ok: false`. */
  readonly decide: (request: Omit<DecideRequest, 'version'>, timeoutMs: number) => Promise<DecideResponse>;
  /** Asks a router to administer, with the caller's own credential. */
  readonly administer: Administer;
  /** What was used and what it costs. */
  readonly askLedger: AskLedger;
  /** Durable work; closed by whoever opened it. */
  readonly jobs: Jobs;
  /** Closed by whoever opened it. */
  readonly budgets: BudgetBook;
  /** What was given up. */
  readonly letters: LetterDesk;
  readonly authenticator: Authenticator;
  /** How loaded the calmest router is; absent: nobody is asked. */
  readonly askRouterLoad?: AskRouterLoad | undefined;
  readonly names: ModelNames;
  readonly busState: () => BusState;
  /** What else must be well for requests to be served, such as the roles of the same process. */
  readonly checks?: (() => Checks) | undefined;
  readonly telemetry: Telemetry;
  readonly timers: Timers;
  /** Aborted when a shutdown is to wait for nobody. */
  readonly hurry?: AbortSignal | undefined;
}

export interface Gateway extends Role {
  /** Base of all paths, with the port that was bound. */
  readonly url: string;
}

/** Open requests are answered this long before the time of the shutdown is over. */
const LAST_WORDS_MS = 1_000;
/** Sockets that kept alive through the drain are looked for this often. */
const SWEEP_MS = 100;

/** Rejects when the port cannot be bound. */
export async function startGateway(deps: GatewayDeps): Promise<Gateway> {
  const { settings, timers, telemetry } = deps;
  const metrics = openEdgeMetrics(telemetry.metrics);
  const lifecycle = new Lifecycle();
  const log = telemetry.log.for('gateway');
  using opening = new DisposableStack();
  const backpressure = opening.use(new Backpressure({ ...deps, log, metrics, settings: settings.backpressure }));
  const unrouted = new RouteCounters(metrics, 'unrouted');
  const edge: Edge = { log, metrics, timers, lifecycle, unrouted, backpressure };
  telemetry.metrics.beforeRender(() => {
    backpressure.show();
    metrics.busConnected.of().set(deps.busState() === 'connected' ? 1 : 0);
    for (const dialect of HTTP_DIALECTS) metrics.active.of(dialect).set(lifecycle.countOf(dialect));
  });
  const { body_limit, body_timeout_ms } = settings.http;
  const limits = (bytes: number) => ({ bytesMax: Math.min(bytes, BODY_BYTES_MAX), timeoutMs: body_timeout_ms });
  const bodyLimits = { inference: limits(body_limit.inference), native: limits(body_limit.native) };
  const listener = await openListener({
    edge,
    gate: new Gate(deps.authenticator, metrics, settings.auth.failures_per_minute),
    settings: settings.http,
    needs: { ...deps, bodyLimits, metrics, lifecycle, openApi: servedDocument() },
  });
  log.info('gateway_listening', {
    url: listener.url,
    body_limit: { inference: bodyLimits.inference.bytesMax, native: bodyLimits.native.bytesMax },
  });
  const opened = opening.move();
  return {
    name: 'gateway',
    url: listener.url,
    async [Symbol.asyncDispose]() {
      const draining = (): void => deps.jobs.leave();
      await shutDown(settings.shutdown, listener, { lifecycle, timers, hurry: deps.hurry, draining });
      opened.dispose();
    },
  };
}

interface Leaving extends Pick<GatewayDeps, 'timers' | 'hurry'> {
  readonly lifecycle: Lifecycle;
  readonly draining: () => void;
}

async function shutDown(
  { timeout_ms, lame_duck_ms }: GatewaySettings['shutdown'],
  listener: Listener,
  { lifecycle, timers, hurry, draining }: Leaving,
): Promise<void> {
  if (lifecycle.phase !== 'serving') return;
  lifecycle.phase = 'leaving';
  const patienceMs = Math.max(0, timeout_ms - LAST_WORDS_MS);
  const lameMs = Math.min(lame_duck_ms, patienceMs);
  if (lameMs > 0) await new Promise<void>((resolve) => void afterOrHurried(timers, lameMs, hurry, resolve));
  lifecycle.phase = 'draining';
  draining();
  const closed = listener.close();
  let end = afterOrHurried(timers, patienceMs - lameMs, hurry, () => {
    lifecycle.shutDownAll();
    end = timers.after(timeout_ms - patienceMs, () => listener.closeAll());
  });
  let sweep = timers.after(SWEEP_MS, function again() {
    listener.closeIdle();
    sweep = timers.after(SWEEP_MS, again);
  });
  await closed;
  sweep.cancel();
  end.cancel();
}
