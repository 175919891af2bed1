// Files of decision records in the router's data directory: one line of JSON each, a new file every day and when one is full.
// F1. A file can be replayed by itself: the document of a revision stands in it before the first record of the revision.
// F2. No file is ever continued, not even after a write that failed, so a torn line can only be the last one.
// F3. Records are kept for 7 days, and less where they would take more than `TOTAL_BYTES_MAX`.
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Timer, Timers } from '../core/timers.ts';
import type { Policy } from '../policy/policy.ts';
import type { LogLine, RecordSink } from '../router/decision-log.ts';

const DAY_MS = 86_400_000;
const KEPT_DAYS = 7;
const FILE_BYTES_MAX = 67_108_864;
const TOTAL_BYTES_MAX = 4_294_967_296;
const TIDY_MS = 3_600_000;
const FILES_A_DAY_MAX = 99_999;

/** `decisions-YYYY-MM-DD-NNNNN.jsonl`, in UTC: names sort by age. */
export const DECISION_FILE = /^decisions-(\d{4}-\d{2}-\d{2})-\d{5}\.jsonl$/;

/** The line before the records of a revision. */
export interface PolicyLine {
  readonly type: 'policy';
  /** `*` for a built-in policy. */
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly revision: number;
  readonly document: unknown;
}

export interface DecisionFilesOptions {
  /** Is made if it is not there. One router writes into one directory. */
  readonly dir: string;
  readonly timers: Timers;
  readonly fileBytesMax?: number;
  readonly totalBytesMax?: number;
}

interface File {
  readonly path: string;
  readonly handle: FileHandle;
  readonly day: string;
  /** Policies whose document stands in it. */
  readonly policies: Set<Policy>;
  bytes: number;
}

/** Throws the system's fault if the directory cannot be made. */
export async function openDecisionFiles(options: DecisionFilesOptions): Promise<RecordSink> {
  // What requests say of themselves is nobody else's business.
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const files = new DecisionFiles(options);
  await files.tidy();
  return files;
}

class DecisionFiles implements RecordSink {
  readonly #options: DecisionFilesOptions;
  #file: File | undefined;
  #timer: Timer;

  constructor(options: DecisionFilesOptions) {
    this.#options = options;
    this.#timer = this.#arm();
  }

  async write(lines: readonly LogLine[]): Promise<void> {
    const file = await this.#fileOf(this.#day());
    let text = '';
    for (const line of lines) text += `${this.#introduce(line.policy, file)}${line.text}\n`;
    const isFirst = file.bytes === 0;
    file.bytes += Buffer.byteLength(text);
    try {
      await file.handle.appendFile(text);
    } catch (fault) {
      await this.#leave(file, isFirst);
      throw fault;
    }
  }

  /** Removes what is too old, then the oldest of what is too much. */
  async tidy(): Promise<void> {
    const { dir, timers, totalBytesMax = TOTAL_BYTES_MAX } = this.#options;
    const oldest = dayOf(timers.clock.epochMs() - (KEPT_DAYS + 1) * DAY_MS);
    const names = (await readdir(dir)).filter((name) => DECISION_FILE.test(name)).toSorted();
    const sizes = await Promise.all(names.map((name) => sizeOf(join(dir, name))));
    let total = sizes.reduce((sum, size) => sum + size, 0);
    const surplus = names.filter((name, index) => {
      const isSurplus = (DECISION_FILE.exec(name)?.[1] ?? '') <= oldest || total > totalBytesMax;
      if (isSurplus) total -= sizes[index] ?? 0;
      return isSurplus;
    });
    await Promise.all(surplus.map((name) => rm(join(dir, name), { force: true })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer.cancel();
    await this.#file?.handle.close();
    this.#file = undefined;
  }

  /** One that holds nothing whole is taken away, so that a full disk does not fill the day's numbers. */
  async #leave({ handle, path }: File, isEmpty: boolean): Promise<void> {
    this.#file = undefined;
    await handle.close().catch(() => undefined);
    if (isEmpty) await rm(path, { force: true }).catch(() => undefined);
  }

  /** The policy's own line if the file does not have it yet. */
  #introduce(policy: Policy | undefined, { policies }: File): string {
    if (policy === undefined || policies.has(policy)) return '';
    policies.add(policy);
    const line: PolicyLine = {
      type: 'policy',
      tenant_id: policy.tenantId,
      policy_id: policy.policyId,
      revision: policy.revision,
      document: policy.document,
    };
    return `${JSON.stringify(line)}\n`;
  }

  async #fileOf(day: string): Promise<File> {
    const { dir, fileBytesMax = FILE_BYTES_MAX } = this.#options;
    if (this.#file?.day === day && this.#file.bytes < fileBytesMax) return this.#file;
    await this.#file?.handle.close();
    this.#file = undefined;
    await this.tidy();
    this.#file = { ...(await create(dir, day)), day, policies: new Set(), bytes: 0 };
    return this.#file;
  }

  /** Old files go although nothing new is written. */
  #arm(): Timer {
    return this.#options.timers.after(TIDY_MS, () => {
      this.#timer = this.#arm();
      // A directory that cannot be read now stops the next write, which is told.
      this.tidy().catch(() => undefined);
    });
  }

  #day(): string {
    return dayOf(this.#options.timers.clock.epochMs());
  }
}

/** 0 for a file that went away meanwhile. */
const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

const dayOf = (epochMs: number): string => new Date(epochMs).toISOString().slice(0, 10);

/** The next file of the day; another process that took its number first is stepped over. */
async function create(dir: string, day: string): Promise<Pick<File, 'path' | 'handle'>> {
  const taken = (await readdir(dir)).filter((name) => DECISION_FILE.exec(name)?.[1] === day).toSorted();
  const last = Number(taken.at(-1)?.slice(-11, -6) ?? 0);
  for (let n = last + 1; n <= FILES_A_DAY_MAX; n++) {
    try {
      const path = join(dir, `decisions-${day}-${String(n).padStart(5, '0')}.jsonl`);
      // eslint-disable-next-line no-await-in-loop -- numbers are tried one after the other
      return { path, handle: await open(path, 'ax', 0o600) };
    } catch (fault) {
      if (!(fault instanceof Error && 'code' in fault && fault.code === 'EEXIST')) throw fault;
    }
  }
  throw new Error(`${dir} holds all files that a day may have`);
}
