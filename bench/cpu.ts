// What processes used, read from /proc: all threads together, children not included.
import { readFileSync } from 'node:fs';

/** Linux reports processor time in ticks of 10 ms on every architecture that Node runs on. */
const TICK_MS = 10;

/** User and system time since the processes started, in milliseconds. */
export function cpuMs(pids: readonly number[]): number {
  return sum(pids, (pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  });
}

/** What all processes of the machine and its kernel used since it was started, in milliseconds. */
export function machineCpuMs(): number {
  const [, user, nice, system, , , interrupts, softInterrupts] = readFileSync('/proc/stat', 'latin1').split(/\s+/, 9);
  return [user, nice, system, interrupts, softInterrupts].reduce((total, ticks) => total + Number(ticks) * TICK_MS, 0);
}

/** Resident memory of the processes together, in MB. */
export function rssMb(pids: readonly number[]): number {
  return sum(pids, (pid) => {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return Number(kilobytes ?? 0) / 1024;
  });
}

const sum = (pids: readonly number[], of: (pid: number) => number): number =>
  pids.reduce((total, pid) => total + of(pid), 0);
