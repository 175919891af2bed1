// On what and with what the figures were made.
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly node: string;
  readonly nats: string;
  /** Load of the last minute when the run began: other work makes ranges wide. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  const isClean = outputOf('git', ['status', '--porcelain', '--', 'src', 'bench']) === '';
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: outputOf('git', ['rev-parse', '--short', 'HEAD']) + (isClean ? '' : ' with local changes'),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    nats: outputOf('nats-server', ['-v']).replace('nats-server: ', ''),
    loadBefore: Number(loadavg()[0]?.toFixed(2)),
  };
}

/** As rows of a table. */
export const machineRows = (machine: Machine): readonly (readonly [string, string])[] => [
  ['Processor', `${machine.cpu}, ${machine.cores} cores`],
  ['Memory', `${machine.memoryGb} GB`],
  ['Kernel', `Linux ${machine.kernel}`],
  ['Node', machine.node],
  ['nats-server', machine.nats],
  ['Beamline', machine.commit],
];

function outputOf(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}
