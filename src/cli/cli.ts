// The root command: one file per command, loaded when it is called.
// The parser lets unknown options pass; here they are wrong usage, so that a slip is told and not ignored.
import { type ArgsDef, type CommandDef, renderUsage, runCommand } from 'citty';
import { PRODUCT_VERSION } from './product.ts';
import { complain, print } from './print.ts';
import { EXIT, exitOf, UsageError } from './exit.ts';

const beamline: CommandDef = {
  meta: { name: 'beamline', version: PRODUCT_VERSION, description: 'A multi-tenant AI gateway and orchestrator' },
  subCommands: {
    up: async () => (await import('./up.ts')).upCommand,
    gateway: async () => (await import('./role.ts')).roleCommand('gateway'),
    router: async () => (await import('./role.ts')).roleCommand('router'),
    worker: async () => (await import('./role.ts')).roleCommand('worker'),
    ledger: async () => (await import('./ledger.ts')).ledgerCommand,
    key: async () => (await import('./key.ts')).keyCommand,
    policy: async () => (await import('./policy.ts')).policyCommand,
    contracts: async () => (await import('./contracts.ts')).contractsCommand,
    dlq: async () => (await import('./dlq.ts')).dlqCommand,
    docs: async () => (await import('./docs.ts')).docsCommand,
    sim: async () => (await import('./sim.ts')).simCommand,
    'mock-router': async () => (await import('./mock-router.ts')).mockRouterCommand,
  },
};

interface Found {
  readonly command: CommandDef;
  readonly parent: CommandDef | undefined;
  readonly rest: string[];
}

/** Runs a command line and tells its exit code; writes faults to stderr and never throws. */
export async function runCli(argv: readonly string[]): Promise<number> {
  try {
    const [first] = argv;
    if (first === '--version' || first === '-v') {
      print(PRODUCT_VERSION);
      return EXIT.ok;
    }
    const found = await find(beamline, undefined, [...argv]);
    if (found.rest.includes('--help') || found.rest.includes('-h')) {
      print(await renderUsage(found.command, found.parent));
      return EXIT.ok;
    }
    if (found.command.run === undefined) return await askForCommand(found);
    await refuseWrongUsage(found);
    // A role that has commands of its own: the parser would take the value of an option for the name of one.
    const { subCommands: _, ...command } = found.command;
    const { result } = await runCommand(command, { rawArgs: found.rest });
    return typeof result === 'number' ? result : EXIT.ok;
  } catch (thrown) {
    const { code, text } = exitOf(thrown);
    complain(code === EXIT.usage ? `beamline: ${text}; see beamline --help` : text);
    return code;
  }
}

/** The innermost command that the line names; names stand first. */
async function find(command: CommandDef, parent: CommandDef | undefined, argv: string[]): Promise<Found> {
  const commands = await resolved(command.subCommands);
  const [name, ...rest] = argv;
  if (commands === undefined || name === undefined || name.startsWith('-')) return { command, parent, rest: argv };
  const next = Object.hasOwn(commands, name) ? await resolved(commands[name]) : undefined;
  if (next === undefined) throw new UsageError(`unknown command ${JSON.stringify(name)}`);
  return find(next, command, rest);
}

async function askForCommand({ command, parent, rest }: Found): Promise<number> {
  const [option] = rest;
  if (option !== undefined) throw new UsageError(`unknown option ${option}`);
  complain(await renderUsage(command, parent));
  return EXIT.usage;
}

/** Refuses options that the command does not have or that are missing, options without their value, and words too many. */
async function refuseWrongUsage({ command, rest }: Found): Promise<void> {
  const args: ArgsDef = (await resolved(command.args)) ?? {};
  const places = Object.keys(args).filter((name) => args[name]?.type === 'positional');
  let words = places.some((name) => name.endsWith('...')) ? Infinity : places.length;
  const given = new Set<string>();
  for (let at = 0; at < rest.length; at++) {
    const [option = '', value] = (rest[at] ?? '').split('=', 2);
    if (!option.startsWith('-')) {
      if (--words < 0) throw new UsageError(`unexpected ${JSON.stringify(option)}`);
      continue;
    }
    const name = nameOf(args, option);
    if (name === undefined) throw new UsageError(`unknown option ${option}`);
    given.add(name);
    if (args[name]?.type === 'boolean' || value !== undefined) continue;
    const next = rest[++at];
    if (next === undefined || next.startsWith('--')) throw new UsageError(`${option} needs a value`);
  }
  const missing = Object.keys(args).find((name) => args[name]?.required === true && !given.has(name));
  if (missing !== undefined && args[missing]?.type !== 'positional') throw new UsageError(`--${missing} is required`);
}

function nameOf(args: ArgsDef, option: string): string | undefined {
  const name = option.replace(/^--/, '');
  if (Object.hasOwn(args, name)) return name;
  const positive = name.replace(/^no-/, '');
  return Object.hasOwn(args, positive) && args[positive]?.type === 'boolean' ? positive : undefined;
}

async function resolved<T>(value: T | Promise<T> | (() => T | Promise<T>) | undefined): Promise<T | undefined> {
  return typeof value === 'function' ? await (value as () => T | Promise<T>)() : await value;
}
