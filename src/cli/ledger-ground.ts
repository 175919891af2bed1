// What the commands of the ledger stand on: its database by the same settings as the role's, the bus where there is one, periods.
import { openBus } from '../app/bus.ts';
import { type Ground, openGround } from '../app/ground.ts';
import { ledgerAddress, openLedgerStore } from '../app/ledger-store.ts';
import type { Bus } from '../bus/bus.ts';
import type { SqlStore } from '../store/sql.ts';
import { UsageError } from './exit.ts';
import { openLogSink } from './log-sink.ts';
import { readRoleConfig, roleArgs, type RoleArgs } from './role-config.ts';

export const ledgerArgs = {
  config: roleArgs.config,
  nats: roleArgs.nats,
  data: { type: 'string', valueHint: 'folder', description: 'Folder of an embedded ledger (data_dir)' },
  db: { type: 'string', valueHint: 'url', description: 'Database of the ledger (ledger.url)' },
} as const;

export const periodArgs = {
  since: { type: 'string', required: true, valueHint: 'time', description: 'First moment, as 2026-11-01T00:00:00Z' },
  until: { type: 'string', valueHint: 'time', description: 'Moment after the last; now if absent' },
} as const;

interface LedgerArgs extends RoleArgs {
  readonly data?: string | undefined;
  readonly db?: string | undefined;
}

/** The settings alone; logs go to stderr, results to stdout. */
export function openLedgerGround(args: LedgerArgs, logLevel = 'error'): Ground & Disposable {
  const flags = { data_dir: args.data, 'ledger.url': args.db, log_level: logLevel };
  const effective = readRoleConfig({ config: args.config, nats: args.nats }, { flags });
  if (effective === undefined) throw new UsageError('these are settings of a role');
  const ground = openGround(effective.config, openLogSink(process.stderr));
  return { ...ground, [Symbol.dispose]: () => ground.timers[Symbol.dispose]() };
}

/** Throws wrong usage where the settings name none: the rows of another process's memory cannot be read. */
export function openLedgerDatabase(ground: Ground): Promise<SqlStore> {
  if (ledgerAddress(ground.config) === undefined) {
    throw new UsageError('no database is named: give --db, --data, or a --config with ledger.url or data_dir');
  }
  return openLedgerStore(ground);
}

/** Undefined without NATS: the bus of another process's memory cannot be reached. */
export async function openLedgerBus(ground: Ground): Promise<Bus | undefined> {
  return ground.config.nats.url === undefined ? undefined : openBus(ground, 'ledger-cli');
}

export function periodOf(
  args: { readonly since: string; readonly until?: string | undefined },
  epochMs: number,
): { readonly since: number; readonly until: number } {
  const period = {
    since: momentOf('--since', args.since),
    until: args.until === undefined ? epochMs : momentOf('--until', args.until),
  };
  if (period.until > period.since) return period;
  throw new UsageError('--until must be after --since');
}

function momentOf(option: string, text: string): number {
  const isMoment = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text);
  const moment = isMoment ? Date.parse(text) : Number.NaN;
  if (moment >= 0) return moment;
  throw new UsageError(`${option} ${JSON.stringify(text)} is not a moment, as 2026-11-01 or 2026-11-01T00:00:00Z`);
}
