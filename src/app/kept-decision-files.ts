// The files of decision records, read by the router that writes them: by time for a replay, by request for one decision.
// A request is found by looking for its id in the bytes, piece by piece, newest file first; only lines that hold it are read.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BeamlineError } from '../core/errors.ts';
import type { DecisionRecord, RequestRecord } from '../policy/decision-record.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { isOf, type KeptRecord, type KeptRecords } from '../router/kept-records.ts';
import { DECISION_FILE, type PolicyLine } from './decision-files.ts';
import { DecisionFilesReader, isEntry, textsIn } from './decision-files-reader.ts';
import { NEWLINE, piecesOf } from './file-lines.ts';

/** A record is written within a second of its decision, so one of midnight may stand in the next day's file. */
const LATE_MS = 60_000;

export const keptDecisionFiles = (dir: string): KeptRecords => ({
  *read({ fromMs, toMs }) {
    const [first, last] = [dayOf(fromMs), dayOf(toMs + LATE_MS)];
    yield* guarded(function* () {
      const reader = new DecisionFilesReader([dir], (day) => day >= first && day <= last);
      for (const entry of reader.steps()) {
        yield entry === undefined ? undefined : kept(entry, (record) => reader.own(record));
      }
    });
  },
  *find(tenantId, requestId) {
    yield* guarded(function* () {
      const names = readdirSync(dir).filter((name) => DECISION_FILE.test(name));
      for (const name of names.toSorted().toReversed()) {
        if (yield* findIn(join(dir, name), tenantId, requestId)) return;
      }
    });
  },
});

type Step = KeptRecord | undefined;

const kept = (entry: RequestRecord, own: (record: DecisionRecord) => Policy | undefined): KeptRecord => ({
  entry,
  own: () => (entry.type === 'decision' ? own(entry) : undefined),
});

/** What stays of what it could not read is `unavailable`: a file went away, or is not ours. */
function* guarded(steps: () => Iterable<Step>): Iterable<Step> {
  try {
    yield* steps();
  } catch (cause) {
    throw new BeamlineError('unavailable', 'the records of this router cannot be read', { cause });
  }
}

/** Whether the file has a decision of the request. */
function* findIn(path: string, tenantId: string, requestId: string): Generator<Step, boolean> {
  const id = JSON.stringify(requestId);
  let hasDecision = false;
  for (const line of linesWith(path, [`"requestId":${id}`, `"request_id":${id}`])) {
    const entry = line === undefined ? undefined : entryOf(line);
    if (entry === undefined || !isOf(entry, tenantId, requestId)) {
      yield undefined;
      continue;
    }
    const own = entry.type === 'decision' ? yield* policyIn(path, entry) : undefined;
    hasDecision ||= entry.type === 'decision';
    yield kept(entry, () => own);
  }
  return hasDecision;
}

/** The policy that decided a record, from the file in which it stands; undefined if this release does not read it. */
function* policyIn(path: string, record: DecisionRecord): Generator<Step, Policy | undefined> {
  const { policy_id: policyId, revision, tenant_id: own } = record;
  const starts = [own, '*'].map((tenant) => {
    const start: Partial<PolicyLine> = { type: 'policy', tenant_id: tenant, policy_id: policyId, revision };
    return `${JSON.stringify(start).slice(0, -1)},`;
  });
  for (const line of linesWith(path, starts)) {
    yield undefined;
    if (line === undefined || !starts.some((start) => line.startsWith(start))) continue;
    const { document, tenant_id: tenantId } = JSON.parse(line) as PolicyLine;
    const parsed = parsePolicy(document, { tenantId, policyId, revision, knownProviders: new Set(textsIn(document)) });
    return parsed.kind === 'valid' ? parsed.policy : undefined;
  }
  return undefined;
}

/** The lines that hold one of the texts; undefined after each piece of the file. */
function* linesWith(path: string, texts: readonly string[]): Generator<string | undefined> {
  const needles = texts.map((text) => new TextEncoder().encode(text));
  for (const piece of piecesOf(path)) {
    // A line without an end is torn.
    if (piece.length > 0 && piece.at(-1) !== NEWLINE) return;
    yield* linesIn(piece, needles);
    yield undefined;
  }
}

function* linesIn(bytes: Buffer, needles: readonly Uint8Array[]): Generator<string> {
  let from = 0;
  while (from < bytes.length) {
    const found = needles.map((needle) => bytes.indexOf(needle, from)).filter((place) => place >= 0);
    if (found.length === 0) return;
    const place = Math.min(...found);
    const end = bytes.indexOf(NEWLINE, place);
    yield bytes.toString('utf8', bytes.lastIndexOf(NEWLINE, place) + 1, end);
    from = end + 1;
  }
}

function entryOf(line: string): RequestRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isEntry(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The last moment whose day has ten characters. */
const DAY_LAST_MS = Date.parse('9999-12-31T23:59:59Z');
const dayOf = (epochMs: number): string =>
  new Date(Math.min(Math.max(0, epochMs), DAY_LAST_MS)).toISOString().slice(0, 10);
