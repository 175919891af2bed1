// Results that are too large for the record of their job: they stand beside it as a blob, and go from there to the caller.
import type { FoundBlob } from '../../bus/bucket-blobs.ts';
import { JSON_DEPTH_MAX } from '../../contracts/limits.ts';
import { BeamlineError } from '../../core/errors.ts';
import { isShallow } from '../../core/json-guard.ts';
import type { Call } from '../call.ts';
import { writeBody } from '../written.ts';
import type { JobRecord } from './job-records.ts';

/** Where workers keep them. */
export interface ResultBlobs {
  /** Undefined for what is not the tenant's, or was forgotten. Throws `unavailable`. */
  find(tenantId: string, ref: string): Promise<FoundBlob | undefined>;
  forget(tenantId: string, ref: string): Promise<void>;
}

/** What is shown with its job; more, and what is nested deeper than a message, is read at its own address. */
const SHOWN_BYTES_MAX = 1_048_576;

/** The record with its output in it, where that is to be shown. */
export async function withOutput(blobs: ResultBlobs, record: JobRecord): Promise<JobRecord> {
  const { state, request } = record;
  if (state?.result?.output_ref === undefined) return record;
  const { output_ref: ref, ...rest } = state.result;
  const found = await blobs.find(request.tenant_id, ref);
  if (found === undefined || found.bytes > SHOWN_BYTES_MAX) return record;
  const pieces: Buffer[] = [];
  for await (const piece of found.pieces()) pieces.push(piece);
  const text = Buffer.concat(pieces).toString('utf8');
  if (!isShallow(text, JSON_DEPTH_MAX)) return record;
  const output: unknown = JSON.parse(text);
  return { ...record, state: { ...state, result: { ...rest, output } } };
}

/** The blob of a result that stands beside its record. Throws `not_found` for one whose time is over. */
export async function foundResult(blobs: ResultBlobs, { request, state }: JobRecord): Promise<FoundBlob | undefined> {
  const ref = state?.status === 'succeeded' ? state.result?.output_ref : undefined;
  if (ref === undefined) return undefined;
  const found = await blobs.find(request.tenant_id, ref);
  if (found !== undefined) return found;
  throw new BeamlineError('not_found', 'The result is no longer kept.');
}

/** `headers` are name and value in turn. Rejects before the head was written only. */
export async function writeResult(
  call: Call,
  found: FoundBlob,
  { stallMs, headers = [] }: { readonly stallMs: number; readonly headers?: readonly string[] },
): Promise<void> {
  const all = ['content-type', 'application/json', 'content-length', String(found.bytes), ...headers];
  if (call.req.method !== 'HEAD') return writeBody(call, found.pieces(), { stallMs, headers: all });
  call.writeHead(200, all);
  call.res.end();
  call.finish(200);
}
