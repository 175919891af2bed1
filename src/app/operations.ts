// The operations pages of a role that runs alone: they are there before the role is and until it has ended, so that whoever
// probes sees a start and a drain as what they are.
import { OPERATIONS_PORTS, type OperatedRole } from '../config/operations-schema.ts';
import { BeamlineError } from '../core/errors.ts';
import { type Checks, mustHold } from '../core/health.ts';
import type { Role } from '../core/role.ts';
import { openOperationsListener, type OperationsListener } from '../telemetry/operations-listener.ts';
import type { Ground } from './ground.ts';

export interface Operations extends AsyncDisposable {
  /** From here on the pages show the role; before, that it starts. */
  serving(role: Role): void;
  /** From here on it is not ready, whatever the role says. */
  draining(): void;
}

/**
 * `checks` are those of the process, beside the role's own. Throws `unavailable` for a configured port that is taken; the
 * standard one gives way to a free one, since many processes of a role may share a machine.
 */
export async function openOperations(ground: Ground, role: OperatedRole, checks: () => Checks): Promise<Operations> {
  const { timers, telemetry } = ground;
  const startedMs = timers.clock.epochMs();
  let phase: 'starting' | 'serving' | 'draining' = 'starting';
  let shown: Role | undefined;
  const all = (): Checks => ({
    accepting: mustHold(phase === 'serving', phase),
    ...checks(),
    ...shown?.checks?.(),
  });
  const state = (): object => ({ role, phase, started_at_ms: startedMs, checks: all(), ...shown?.state?.() });
  const listener = await listen(ground, role, { clock: timers.clock, telemetry, checks: all, state });
  telemetry.log.for(role).info('operations_listening', { url: listener.url });
  return {
    serving(started) {
      shown = started;
      phase = 'serving';
    },
    draining() {
      phase = 'draining';
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

type Shown = Omit<Parameters<typeof openOperationsListener>[0], 'host' | 'port'>;

async function listen({ config }: Ground, role: OperatedRole, shown: Shown): Promise<OperationsListener> {
  const { host, port } = config[role].http;
  try {
    return await openOperationsListener({ ...shown, host, port: port ?? OPERATIONS_PORTS[role] });
  } catch (fault) {
    if (!isTaken(fault)) throw fault;
    if (port === undefined) return openOperationsListener({ ...shown, host, port: 0 });
    throw new BeamlineError('unavailable', `${role}.http.port: ${host}:${port} is taken; 0 takes a free one`, {
      cause: fault,
    });
  }
}

const isTaken = (fault: unknown): boolean => fault instanceof Error && 'code' in fault && fault.code === 'EADDRINUSE';
