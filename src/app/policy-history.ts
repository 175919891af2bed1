// What the folder of policies cannot tell: revisions, and what was there before (policy 12.1).
// With a data folder each policy has one file of its newest 64 records; without one they live as long as the process,
// and revisions start again at 1.
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { encodeToken } from '../contracts/subject.ts';
import { BeamlineError } from '../core/errors.ts';
import { HISTORY_MAX, readRecord } from '../router/policy-record.ts';
import type { PolicyRecord } from '../router/policy-source.ts';
import { readIfThere, writeWhole } from './atomic-file.ts';

export interface PolicyHistory {
  /** The newest record of every policy that ever was. */
  newest(): Promise<readonly PolicyRecord[]>;
  append(record: PolicyRecord): Promise<void>;
  /** Newest first; empty for what never was. */
  of(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]>;
}

export const openPolicyHistory = (dataDir: string | undefined): PolicyHistory =>
  dataDir === undefined ? inMemory() : inFolder(join(dataDir, 'policy-history'));

function inMemory(): PolicyHistory {
  const histories = new Map<string, readonly PolicyRecord[]>();
  const of = (tenantId: string, policyId: string) => histories.get(`${tenantId} ${policyId}`) ?? [];
  return {
    newest: async () => [...histories.values()].flatMap(([record]) => record ?? []),
    async append(record) {
      const { tenant_id, policy_id } = record;
      histories.set(`${tenant_id} ${policy_id}`, added(record, of(tenant_id, policy_id)));
    },
    of: async (tenantId, policyId) => of(tenantId, policyId),
  };
}

function inFolder(folder: string): PolicyHistory {
  const pathOf = (tenantId: string, policyId: string): string =>
    join(folder, encodeToken(tenantId), `${encodeToken(policyId)}.json`);
  const of = (tenantId: string, policyId: string) => read(pathOf(tenantId, policyId));
  return {
    async newest() {
      const paths = globSync('*/*.json', { cwd: folder });
      const histories = await Promise.all(paths.map((path) => read(join(folder, path))));
      return histories.flatMap(([record]) => record ?? []);
    },
    async append(record) {
      const { tenant_id, policy_id } = record;
      const records = added(record, await of(tenant_id, policy_id));
      await writeWhole(pathOf(tenant_id, policy_id), `${JSON.stringify({ records })}\n`);
    },
    of,
  };
}

/** Takes its place by its revision: one that could not be written in time comes after its successors. */
const added = (record: PolicyRecord, records: readonly PolicyRecord[]): readonly PolicyRecord[] =>
  [record, ...records.filter(({ revision }) => revision !== record.revision)]
    .toSorted((a, b) => b.revision - a.revision)
    .slice(0, HISTORY_MAX);

/** A file that is damaged stops the start: going on without it would give revisions for a second time. */
async function read(path: string): Promise<readonly PolicyRecord[]> {
  const text = await readIfThere(path);
  if (text === undefined) return [];
  try {
    const { records } = JSON.parse(text) as { readonly records: readonly unknown[] };
    return records.map((value) => {
      const record = readRecord(value);
      if (record === undefined) throw new TypeError('not a record of a policy');
      return record;
    });
  } catch (cause) {
    throw new BeamlineError('validation_failed', `${path} is damaged: it holds the revisions of a policy`, {
      cause,
      details: { reason: 'configuration' },
    });
  }
}
