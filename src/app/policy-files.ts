// Policies in a folder: edited by people, mounted by platforms, or written through the admin interface (policy 12.1).
// F1. A look reads the whole folder and compares contents; events only make it come sooner than every two seconds.
// F2. A change is taken when two looks in a row saw the same, so that a file that is being written is not taken half.
// F3. A bad file is told of once, and the last good revision stays, over a restart as far as there is a history.
// F4. Looks and writes come one after the other; the file is written first, so what was confirmed is in the folder.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeToken } from '../contracts/subject.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { noSuchPolicy, recordAfter, tombstoneAfter } from '../router/policy-record.ts';
import type { PolicyListener, PolicyRecord, PolicySource, PolicyWrite } from '../router/policy-source.ts';
import type { Log } from '../telemetry/log.ts';
import { writeWhole } from './atomic-file.ts';
import { FolderWatch } from './folder-watch.ts';
import { judgeFiles, type ParseDocument } from './policy-file-faults.ts';
import { type FoundFile, type FoundFolder, type FoundPolicy, hashOf, readPolicyFolder } from './policy-folder.ts';
import type { PolicyHistory } from './policy-history.ts';

const RESCAN_MS = 2_000;
const SETTLE_MS = 60;
const NO_FILES: readonly FoundFile[] = [];

export interface PolicyFilesDeps {
  readonly dir: string;
  readonly history: PolicyHistory;
  readonly parse: ParseDocument;
  readonly timers: Timers;
  readonly log: Log;
  /** Hears what is wrong with a change that was skipped, one `file:line:col path code message` each. */
  readonly refuse: (tenantId: string, policyId: string, lines: readonly string[]) => void;
  /** Hears that what was refused is good again, or gone. */
  readonly mended: (tenantId: string, policyId: string) => void;
}

/** Throws `validation_failed` for a history that is damaged. A folder that cannot be read starts unreachable. */
export async function openPolicyFiles(deps: PolicyFilesDeps): Promise<PolicySource> {
  await using opening = new AsyncDisposableStack();
  const source = opening.use(new PolicyFiles(deps));
  await source.open();
  opening.move();
  return source;
}

/** What is known of one policy: its newest record, and the files it was made of. */
interface Known {
  record: PolicyRecord | undefined;
  /** The files that were judged last; undefined until the first look. */
  judged: string | undefined;
  /** The files of the last look. */
  seen: string | undefined;
  /** What was judged last, if it has faults. */
  refused: FoundPolicy | undefined;
  /** Another extension could make it good. */
  isOfExtensions: boolean;
  files: readonly FoundFile[];
}

const UNKNOWN: Known = {
  record: undefined,
  judged: '',
  seen: '',
  refused: undefined,
  isOfExtensions: false,
  files: NO_FILES,
};

class PolicyFiles implements PolicySource {
  readonly kind = 'files';
  readonly #deps: PolicyFilesDeps;
  readonly #known = new Map<string, Known>();
  readonly #watch = new FolderWatch(() => this.#schedule(SETTLE_MS));
  /** Records that could not be written to the history yet. */
  readonly #unsaved = new Set<PolicyRecord>();
  #listener: PolicyListener | undefined;
  #away: { readonly fault: unknown } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #next: { readonly timer: Timer; readonly dueMs: number } | undefined;
  #isClosed = false;

  constructor(deps: PolicyFilesDeps) {
    this.#deps = deps;
  }

  async open(): Promise<void> {
    for (const record of await this.#deps.history.newest()) {
      const judged = record.deleted ? '' : undefined;
      this.#known.set(`${record.tenant_id} ${record.policy_id}`, { ...UNKNOWN, record, judged, seen: judged });
    }
    await this.#look(() => true);
  }

  async watch(listener: PolicyListener): Promise<void> {
    this.#listener = listener;
    if (this.#away === undefined) listener.all(this.#records());
    else listener.unreachable(this.#away.fault);
    this.#schedule(0);
  }

  judgeAgain(): void {
    for (const known of this.#known.values()) {
      if (known.refused !== undefined && known.isOfExtensions) known.judged = undefined;
    }
    this.#schedule(0);
  }

  put(write: PolicyWrite, document: unknown): Promise<PolicyRecord> {
    return this.#write(write, async (known, nowMs) => {
      const record = recordAfter(known?.record, write, document, nowMs);
      const path = known?.files[0]?.path ?? this.#pathOf(write);
      // YAML reads JSON, so a file keeps its name.
      const text = `${JSON.stringify(document, null, 2)}\n`;
      await writeWhole(path, text);
      return { record, files: [{ path, hash: hashOf(text) }] };
    });
  }

  delete(write: PolicyWrite): Promise<PolicyRecord> {
    return this.#write(write, async (known, nowMs) => {
      const record = tombstoneAfter(known?.record, write, nowMs);
      await Promise.all((known?.files ?? NO_FILES).map(({ path }) => rm(path)));
      return { record, files: NO_FILES };
    });
  }

  async history(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]> {
    const records = await this.#deps.history.of(tenantId, policyId);
    if (records.length === 0) throw noSuchPolicy();
    return records;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#next?.timer.cancel();
    this.#watch[Symbol.dispose]();
    await this.#turn;
  }

  #records(): readonly PolicyRecord[] {
    return [...this.#known.values()].flatMap(({ record }) => record ?? []);
  }

  #pathOf({ tenantId, policyId }: PolicyWrite): string {
    return join(this.#deps.dir, encodeToken(tenantId), `${encodeToken(policyId)}.json`);
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #schedule(ms: number): void {
    const { timers } = this.#deps;
    const dueMs = timers.clock.nowMs() + ms;
    if (this.#isClosed || (this.#next !== undefined && this.#next.dueMs <= dueMs)) return;
    this.#next?.timer.cancel();
    const run = (): void => {
      this.#next = undefined;
      void this.#inTurn(async () => {
        const isSettled = await this.#look(() => false).catch(this.#failed);
        this.#schedule(isSettled ? RESCAN_MS : SETTLE_MS);
      });
    };
    this.#next = { timer: timers.at(dueMs, run), dueMs };
  }

  /** What an editor wrote meanwhile is taken first, so that the expected revision is judged by what is there. */
  #write(
    write: PolicyWrite,
    change: (
      known: Known | undefined,
      nowMs: number,
    ) => Promise<{ readonly record: PolicyRecord; readonly files: readonly FoundFile[] }>,
  ): Promise<PolicyRecord> {
    return this.#inTurn(async () => {
      const name = `${write.tenantId} ${write.policyId}`;
      await this.#look((found) => found === name);
      if (this.#away !== undefined) throw unavailable(this.#away.fault);
      const known = this.#known.get(name);
      if (known !== undefined && known.files.length > 1) {
        throw new BeamlineError('conflict', 'the policy is in more than one file');
      }
      const { record, files } = await change(known, this.#deps.timers.clock.epochMs()).catch((fault: unknown) => {
        throw fault instanceof BeamlineError ? fault : unavailable(fault);
      });
      const sign = signOf(files);
      this.#known.set(name, { ...UNKNOWN, record, judged: sign, seen: sign, files });
      await this.#save(record);
      this.#listener?.changed(record);
      return record;
    });
  }

  /**
   * Whether nothing waits for the next look. Never rejects for what the folder holds or lacks. `takesAtOnce` says whether
   * a change of a policy is taken without a second look.
   */
  async #look(takesAtOnce: (name: string) => boolean): Promise<boolean> {
    let folder: FoundFolder;
    try {
      folder = await readPolicyFolder(this.#deps.dir);
    } catch (fault) {
      if (this.#away === undefined) this.#listener?.unreachable(fault);
      this.#away ??= { fault };
      return true;
    }
    this.#watch.set(folder.folders);
    let isSettled = true;
    const changes: PolicyRecord[] = [];
    for (const name of new Set([...this.#known.keys(), ...folder.policies.keys()])) {
      const known = this.#known.get(name) ?? { ...UNKNOWN };
      const found = folder.policies.get(name);
      const files = found?.files ?? NO_FILES;
      const sign = signOf(files);
      const isNew = sign !== known.judged;
      const isTaken = isNew && (takesAtOnce(name) || sign === known.seen);
      known.seen = sign;
      known.files = files;
      if (isNew && !isTaken) isSettled = false;
      if (isTaken) {
        known.judged = sign;
        const record = this.#taken(known, found);
        if (record !== undefined) changes.push((known.record = record));
      }
      if (known.record === undefined && known.refused === undefined && sign === '') this.#known.delete(name);
      else this.#known.set(name, known);
    }
    // eslint-disable-next-line no-await-in-loop -- two records of one policy go into one file
    for (const record of new Set([...this.#unsaved, ...changes])) await this.#save(record);
    const wasAway = this.#away !== undefined;
    this.#away = undefined;
    if (wasAway) this.#listener?.all(this.#records());
    else for (const record of changes) this.#listener?.changed(record);
    return isSettled;
  }

  #taken(known: Known, found: FoundPolicy | undefined): PolicyRecord | undefined {
    const before = known.refused;
    known.refused = undefined;
    const record = this.#judge(known, found);
    if (before !== undefined && known.refused === undefined) this.#deps.mended(before.tenantId, before.policyId);
    return record;
  }

  /** The record that the files make; undefined if they change nothing. */
  #judge(known: Known, found: FoundPolicy | undefined): PolicyRecord | undefined {
    const nowMs = this.#deps.timers.clock.epochMs();
    const held = known.record;
    if (found === undefined) {
      if (held?.deleted !== false) return undefined;
      return tombstoneAfter(held, byFolder(held.tenant_id, held.policy_id), nowMs);
    }
    const judged = judgeFiles(found, this.#deps.parse);
    if (judged.kind === 'invalid') {
      known.refused = found;
      known.isOfExtensions = judged.isOfExtensions;
      this.#deps.refuse(found.tenantId, found.policyId, judged.lines);
      return undefined;
    }
    const record = recordAfter(held, byFolder(found.tenantId, found.policyId), judged.document, nowMs);
    return held?.deleted === false && held.digest === record.digest ? undefined : record;
  }

  /** Whatever it was, the next look comes. */
  readonly #failed = (fault: unknown): true => {
    this.#deps.log.error('policy_look_failed', { source: this.#deps.dir, fault });
    return true;
  };

  /** A history that cannot be written does not stop a change; the next look tries again. */
  async #save(record: PolicyRecord): Promise<void> {
    try {
      await this.#deps.history.append(record);
      this.#unsaved.delete(record);
    } catch (fault) {
      this.#unsaved.add(record);
      const { tenant_id, policy_id: policy } = record;
      this.#deps.log.warn('policy_revision_not_saved', { tenant_id, policy, fault });
    }
  }
}

/** Empty for no files. */
const signOf = (files: readonly FoundFile[]): string => files.map(({ path, hash }) => `${path} ${hash}`).join('\n');

const byFolder = (tenantId: string, policyId: string): PolicyWrite => ({
  tenantId,
  policyId,
  expectedRevision: undefined,
  by: 'file',
});

const unavailable = (cause: unknown): BeamlineError =>
  new BeamlineError('unavailable', 'the folder of policies cannot be used', { cause });
