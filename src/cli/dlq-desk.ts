// What the `beamline dlq` commands have in common: the connection, which letters are meant, and the exit codes
// (contracts 7): 0 done, 1 some refused, 2 no connection or unreadable.
import { openBus } from '../app/bus.ts';
import { type Ground, openGround } from '../app/ground.ts';
import type { Bus } from '../bus/bus.ts';
import type { LetterLine, LetterList } from '../bus/letter-box.ts';
import { environment } from '../config/environment.ts';
import { readConfig } from '../config/read.ts';
import { DEAD_LETTER_CLASSES } from '../contracts/dead-letter.ts';
import { BeamlineError } from '../core/errors.ts';
import { EXIT, UsageError } from './exit.ts';
import { complain } from './print.ts';

/** Letters that one command looks at; more are told and left. */
export const LETTERS_MAX = 10_000;

export const connectionArgs = {
  config: { type: 'string', valueHint: 'file', description: 'YAML file of settings' },
  nats: { type: 'string', valueHint: 'url', description: 'NATS servers, comma separated (nats.url)' },
} as const;

export const filterArgs = {
  subject: { type: 'string', valueHint: 'name', description: 'Only of this original subject' },
  class: { type: 'string', valueHint: 'class', description: `Only given up for ${DEAD_LETTER_CLASSES.join(', ')}` },
  tenant: { type: 'string', valueHint: 'id', description: 'Only of this tenant' },
} as const;

export const selectionArgs = {
  'id...': { type: 'positional', required: false, description: 'Message ids or numbers of letters' },
  all: { type: 'boolean', default: false, description: 'All that the filters leave' },
  ...filterArgs,
} as const;

interface ConnectionArgs {
  readonly config?: string | undefined;
  readonly nats?: string | undefined;
}

export interface FilterArgs {
  readonly subject?: string | undefined;
  readonly class?: string | undefined;
  readonly tenant?: string | undefined;
}

/** Runs `work` on the bus of the configuration; a bus that is away is told, and gives 2. */
export async function withLetters(
  args: ConnectionArgs,
  work: (bus: Bus, ground: Ground) => Promise<number>,
): Promise<number> {
  const { config } = readConfig({ flags: { 'nats.url': args.nats }, env: environment, file: args.config });
  if (config.nats.url === undefined) {
    throw new BeamlineError(
      'validation_failed',
      'nats.url is required: dead letters are in a stream of NATS (--nats URL)',
      {
        details: { reason: 'configuration' },
      },
    );
  }
  await using opening = new AsyncDisposableStack();
  const ground = openGround(config, { write: () => undefined });
  opening.use(ground.timers);
  try {
    return await work(opening.use(await openBus(ground, 'cli')), ground);
  } catch (fault) {
    if (!(fault instanceof BeamlineError) || fault.code !== 'unavailable') throw fault;
    complain(fault.message);
    return EXIT.unreadable;
  }
}

/** Throws `UsageError` for a class that there is not. */
export function fitsOf({ subject, class: kind, tenant }: FilterArgs): (line: LetterLine) => boolean {
  if (kind !== undefined && !DEAD_LETTER_CLASSES.some((known) => known === kind)) {
    throw new UsageError(`--class is one of ${DEAD_LETTER_CLASSES.join(', ')}`);
  }
  return (line) =>
    (subject === undefined || line.original_subject === subject) &&
    (kind === undefined || line.error.class === kind) &&
    (tenant === undefined || line.tenant_id === tenant);
}

/** Which letters a command is about: those that are named, or with `--all` those that fit. Throws `UsageError` for neither. */
export function selectionOf(
  ids: readonly string[],
  { all, ...filter }: FilterArgs & { readonly all?: boolean | undefined },
): (line: LetterLine) => boolean {
  const isFiltered = fitsOf(filter);
  if (all === true && ids.length > 0) throw new UsageError('either ids or --all');
  if (all === true) return isFiltered;
  if (ids.length === 0) throw new UsageError('which letters? Name ids, or give --all');
  const named = new Set(ids);
  return (line) => isNamed(named, line) && isFiltered(line);
}

const isNamed = (named: ReadonlySet<string>, { msg_id: id, seq }: LetterLine): boolean =>
  named.has(id) || named.has(String(seq));

/** Ids that no letter has. */
export const unknownOf = (ids: readonly string[], { letters, unreadable }: LetterList): readonly string[] =>
  ids.filter(
    (id) => letters.every((line) => !isNamed(new Set([id]), line)) && unreadable.every(({ seq }) => String(seq) !== id),
  );
