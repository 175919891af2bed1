// The router role: answers decide v1 and v2, owns the attempts of what it pushed, and emits usage.
import type { Bus, Subscription } from '../bus/bus.ts';
import { DeadLetters, type LetterSpill } from '../bus/dead-letters.ts';
import { DEFAULT_POOL } from '../contracts/assignment.ts';
import { at } from '../contracts/contract.ts';
import { type Budget, budgetBucket } from '../contracts/budget.ts';
import { cancel } from '../contracts/cancel.ts';
import { workerHeartbeat } from '../contracts/heartbeat.ts';
import { type AttemptOutcome, attemptOutcome } from '../contracts/outcome.ts';
import type { SlotClass } from '../contracts/slot-class.ts';
import { newProcessId } from '../core/ids.ts';
import { LiveMap } from '../core/live-map.ts';
import type { PriceBook } from '../catalog/price-book.ts';
import type { RouterShare } from '../policy/router-share.ts';
import type { Role } from '../core/role.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Administration } from './admin.ts';
import { administer } from './administer.ts';
import type { Attempts } from './attempts.ts';
import { BreakerOverrides } from './breaker-overrides.ts';
import { CanaryAborts } from './canary-aborts.ts';
import { Decider } from './decider.ts';
import type { DecisionLog } from './decision-log.ts';
import type { ExtensionRegistry } from './extension-registry.ts';
import { ExtensionResets } from '../bus/extension-resets.ts';
import { Extensions } from './extensions.ts';
import { Fleet } from './fleet.ts';
import { startJobs } from './jobs/jobs.ts';
import { LiveState } from './live-state.ts';
import type { Policies } from './policies.ts';
import { PolicyBudgets } from './policy-budgets.ts';
import { RateLimits } from './rate-limits.ts';
import type { RouterSettings } from './settings.ts';
import { type Backpressure, serveBackpressure } from './backpressure.ts';
import { serveDecide } from './serve-decide.ts';
import { SharedBindings } from './shared-bindings.ts';
import { Shadows } from './shadows.ts';
import { StickyBindings } from './sticky-bindings.ts';
import { TenantBudgets } from './tenant-budgets.ts';
import { UnreportedAttempts } from './unreported-attempts.ts';
import { startUsageEmitter } from './usage-emitter.ts';
import { openUsageSink } from './usage-sink.ts';

/** How long a stopping router still waits for the attempts that it owns. */
const DRAIN_MS = 20_000;
const DRAIN_LOOK_MS = 50;

export interface RouterDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly policies: Policies;
  /** Without it nobody administers this router. */
  readonly administration?: Administration;
  readonly settings: RouterSettings;
  /** Absent: decisions are not recorded. */
  readonly decisions?: DecisionLog | undefined;
  /** The extensions that there are; who opened it closes it. */
  readonly registry: ExtensionRegistry;
  /** Absent: no decision knows a cost. */
  readonly prices?: PriceBook;
  /** Budgets of tenants that stand in the configuration; absent: none. */
  readonly configuredBudgets?: readonly Budget[] | undefined;
  /** Where dead letters wait that the bus refuses. */
  readonly spill?: LetterSpill | undefined;
  /** What this router has of what policies limit; absent: all of it. */
  readonly routers?: (() => RouterShare) | undefined;
}

export async function startRouter(deps: RouterDeps): Promise<Role> {
  const { bus, timers, settings } = deps;
  const log = deps.telemetry.log.for('router');
  const telemetry = { ...deps.telemetry, log };
  const inFlight = new LiveMap<Attempts>();
  await using opened = new AsyncDisposableStack();

  const deadLetters = await openDeadLetters(deps, telemetry);
  const fleet = opened.use(
    new Fleet(timers, settings.worker_lost_ms, (workerId) => {
      log.warn('worker_lost', { worker_id: workerId });
      for (const attempts of inFlight.values()) attempts.workerLost(workerId);
    }),
  );
  opened.use(bus.subscribe(at(workerHeartbeat), {}, (beat) => fleet.heard(beat)));
  const canaryAborts = opened.use(await CanaryAborts.open({ bus, timers, log }));
  const live = new LiveState({ ...deps, clock: timers.clock, telemetry, fleet, canaryAborts });
  const overrides = opened.use(await BreakerOverrides.open({ bus, timers, log, live }));
  const bindings = new StickyBindings(timers.clock, opened.use(await SharedBindings.open({ bus, timers, log })));
  const tenants = opened.use(await openTenantBudgets(deps, telemetry));
  const budgets = opened.use(await openBudgets(deps, telemetry, tenants));
  const fleetSlots = (slotClass: SlotClass): number => fleet.slots(DEFAULT_POOL, slotClass);
  const isSilent = (workerId: string): boolean => fleet.isSilent(workerId, timers.clock.nowMs());
  const shadows = opened.use(new Shadows({ ...deps, telemetry, live, inFlight }));
  const extensions = new Extensions({ bus, timers, telemetry, registry: deps.registry });
  const resets = opened.use(
    await ExtensionResets.open({ bus, timers, log, reset: (extensionId) => extensions.reset(extensionId) }),
  );
  const limited = { shadows, rateLimits: new RateLimits(telemetry.metrics, deps.routers) };
  const jobs = opened.use(
    await startJobs({
      ...deps,
      telemetry,
      live,
      bindings,
      budgets,
      extensions,
      fleetSlots,
      isSilent,
      deadLetters,
      ...limited,
    }),
  );
  const sink = await openUsageSink({ ...deps, telemetry });
  opened.use(await startUsageEmitter({ bus, timers, telemetry, sink, jobs, deadLetters }));
  const unreported = opened.use(new UnreportedAttempts({ timers, log, sink, prices: deps.prices }));
  for (const heard of hear(bus, { shadows, live, jobs, inFlight, unreported })) opened.use(heard);
  opened.defer(() => settled(inFlight, timers));

  const decider = new Decider({
    ...deps,
    telemetry,
    inFlight,
    live,
    bindings,
    acceptance: jobs.acceptance,
    budgets,
    extensions,
    ...limited,
    unreported,
  });
  const parts = { ...deps, telemetry, live, bindings, budgets, overrides, extensions, resets };
  const administered = administer(deps.administration, parts);
  for (const served of administered) opened.use(served);
  const decides = serveDecide(bus, decider, timers.clock);
  const backpressure = opened.use(serveBackpressure({ ...deps, telemetry, fleet, inFlight, decides }));
  opened.use(decides);
  const state = shown(deps, inFlight, fleet, backpressure);
  log.info('router_ready', { source: settings.id });

  const started = opened.move(); // withdraws from decide first, then lets the attempts settle, then stops listening
  return { name: 'router', state, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

interface Hearing {
  readonly shadows: Shadows;
  readonly live: LiveState;
  readonly jobs: { heard(outcome: AttemptOutcome): void };
  readonly inFlight: LiveMap<Attempts>;
  readonly unreported: UnreportedAttempts;
}

/** What workers and callers tell of attempts. */
const hear = (bus: Bus, { shadows, live, jobs, inFlight, unreported }: Hearing): readonly Subscription[] => [
  bus.subscribe(at(attemptOutcome), {}, (outcome) => {
    if (outcome.shadow === true) return shadows.heard(outcome);
    // Those of every router are heard, so that all come to the same view; and before what follows is decided.
    live.heard(outcome);
    jobs.heard(outcome);
    inFlight.get(outcome.assignment_id)?.outcome(outcome);
    unreported.heard(outcome);
  }),
  bus.subscribe(at(cancel), {}, ({ assignment_id, attempt, reason, delivered }) => {
    // A cancel of one attempt is a router's own, or about a race that is already lost.
    if (attempt === undefined) inFlight.get(assignment_id)?.cancelled(reason, delivered?.output_tokens);
  }),
];

/** What it does now, in a gauge and for its operators. */
function shown(
  { settings, telemetry }: RouterDeps,
  inFlight: LiveMap<Attempts>,
  fleet: Fleet,
  backpressure: Backpressure,
): () => object {
  const gauge = telemetry.metrics
    .gauge({
      name: 'router_requests_in_flight',
      help: 'Interactive requests whose attempts this router owns.',
    })
    .of();
  telemetry.metrics.beforeRender(() => gauge.set(inFlight.size));
  return () => ({
    router_id: settings.id,
    requests_in_flight: inFlight.size,
    workers: fleet.size,
    slots: fleet.slots(DEFAULT_POOL, 'io'),
    backpressure: backpressure.level,
  });
}

/** Leases stand under a name of this process alone: one that starts anew takes over nothing. */
const openBudgets = async (
  { bus, timers }: RouterDeps,
  telemetry: Telemetry,
  tenants: TenantBudgets,
): Promise<PolicyBudgets> => {
  const bucket = await bus.openBucket(budgetBucket);
  return new PolicyBudgets({ bucket, timers, telemetry, tenants, holder: newProcessId('router') });
};

const openTenantBudgets = (deps: RouterDeps, telemetry: Telemetry): Promise<TenantBudgets> =>
  TenantBudgets.open({
    ...deps,
    telemetry,
    holder: newProcessId('router'),
    configured: deps.configuredBudgets ?? [],
    outputTokens: deps.settings.budget_output_tokens,
  });

async function openDeadLetters(
  { bus, timers, settings, spill }: RouterDeps,
  telemetry: Telemetry,
): Promise<DeadLetters> {
  const letters = new DeadLetters({
    bus,
    clock: timers.clock,
    telemetry,
    producer: `router@${settings.id}`,
    metric: { name: 'router_dead_letters_total', label: 'class' },
    spill,
  });
  await letters.open();
  return letters;
}

/** Resolves when no attempt is left, or lets go of those that are when the time is over. */
async function settled(inFlight: LiveMap<Attempts>, timers: Timers): Promise<void> {
  const untilMs = timers.clock.nowMs() + DRAIN_MS;
  const look = async (): Promise<void> => {
    if (inFlight.size === 0 || timers.clock.nowMs() >= untilMs) return;
    await timers.sleep(DRAIN_LOOK_MS);
    return look();
  };
  await look();
  for (const attempts of inFlight.values()) attempts.forget();
}
