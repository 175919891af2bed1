// One slot: one workload against one candidate, with what the processes used meanwhile.
import type { Running } from './candidates.ts';
import { cpuMs, machineCpuMs } from './cpu.ts';
import { runLoad } from './load.ts';
import { percentile } from './statistics.ts';
import { requestOf, type Workload } from './workloads.ts';

/** The figures of one slot. */
export interface Measurement {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of all candidate processes for one request, in microseconds; 0 for the direct way. */
  readonly cpuUs: number;
  /** Share of its core that the candidate used. */
  readonly candidateBusy: number;
  /** Share of their core that the load and the upstream used: near 1 they hold the candidate back. */
  readonly loadBusy: number;
  /** Share of one core that other work on the machine used meanwhile; 0 on a quiet one. */
  readonly otherBusy: number;
  /** Processor time of the load for one request, in microseconds. */
  readonly driverUs: number;
  /** SSE events of one stream, without the terminal one; 0 for a chat. */
  readonly events: number;
  readonly errors: number;
  readonly firstError: string | undefined;
}

export interface SlotOptions {
  readonly candidate: Running;
  readonly upstream: Running;
  readonly workload: Workload;
  /** Events that every stream must have; undefined accepts any number. */
  readonly events: number | undefined;
  readonly rampMs: number;
  readonly ms: number;
}

export async function measure(options: SlotOptions): Promise<Measurement> {
  const { candidate, upstream, workload, events, rampMs, ms } = options;
  const pids = candidate.children.map(({ pid }) => pid);
  const upstreamPids = upstream.children.map(({ pid }) => pid);
  const read = (): number[] => [cpuMs(pids), cpuMs(upstreamPids), ownCpuMs(), machineCpuMs()];
  let before = read();
  let after = before;
  const load = await runLoad(
    {
      port: candidate.port,
      request: requestOf(workload, candidate.port, candidate.headers),
      connections: workload.connections,
      isStream: workload.isStream,
      events,
    },
    { rampMs, ms, begin: () => (before = read()), end: () => (after = read()) },
  );
  const used = after.map((value, index) => value - (before[index] ?? 0));
  const [candidateMs = 0, upstreamMs = 0, driverMs = 0, machineMs = 0] = used;
  const otherMs = Math.max(0, machineMs - candidateMs - upstreamMs - driverMs);
  return {
    requestsPerSecond: load.completed / load.seconds,
    p50Ms: percentile(load.latenciesMs, 0.5),
    p99Ms: percentile(load.latenciesMs, 0.99),
    cpuUs: (candidateMs * 1000) / load.completed,
    candidateBusy: candidateMs / 1000 / load.seconds,
    loadBusy: (upstreamMs + driverMs) / 1000 / load.seconds,
    otherBusy: otherMs / 1000 / load.seconds,
    driverUs: (driverMs * 1000) / load.completed,
    events: load.events,
    errors: load.errors,
    firstError: load.firstError,
  };
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
