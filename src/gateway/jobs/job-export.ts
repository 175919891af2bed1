// Writes jobs as a stream of lines, as fast as the client reads.
import type { Call } from '../call.ts';
import { writeBody } from '../written.ts';
import type { JobRecord } from './job-records.ts';
import type { Scanned } from './job-scan.ts';
import { listedJob } from './job-view.ts';

interface Format {
  readonly type: string;
  readonly head: string;
  readonly rowOf: (record: JobRecord) => string;
}

/** Columns of the table: a member of the listed job, or what is made of it. */
const COLUMNS: Readonly<Record<string, (job: Readonly<Record<string, unknown>>) => unknown>> = {
  id: ({ id }) => id,
  type: ({ type }) => type,
  status: ({ status }) => status,
  policy_id: ({ policy_id }) => policy_id,
  revision: ({ revision }) => revision,
  attempts: ({ attempts }) => (attempts as readonly unknown[]).length,
  tags: ({ tags }) => (tags as readonly string[]).join(' '),
  metadata: ({ metadata }) => JSON.stringify(metadata),
  trace_id: ({ trace_id }) => trace_id,
  idempotency_key: ({ idempotency_key }) => idempotency_key,
  created_at: ({ created_at }) => created_at,
  updated_at: ({ updated_at }) => updated_at,
  ended_at: ({ ended_at }) => ended_at,
  error_code: ({ error }) => (error as { code?: string } | null)?.code,
  error_message: ({ error }) => (error as { message?: string } | null)?.message,
  cost_micro_usd: ({ cost_micro_usd }) => cost_micro_usd,
};

export const EXPORT_FORMATS = {
  ndjson: {
    type: 'application/x-ndjson',
    head: '',
    rowOf: (record) => `${JSON.stringify(listedJob(record))}\n`,
  },
  csv: {
    type: 'text/csv; charset=utf-8',
    head: `${Object.keys(COLUMNS).join(',')}\r\n`,
    rowOf: (record) => {
      const job = listedJob(record);
      return `${Object.values(COLUMNS)
        .map((column) => cellOf(column(job)))
        .join(',')}\r\n`;
    },
  },
} as const satisfies Record<string, Format>;

/** RFC 4180; what a spreadsheet would take for a formula is marked as a text. */
export function cellOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Resolves when the stream has ended, whole or not; rejects before the head was written only. */
export function exportJobs(
  call: Call,
  scanned: AsyncGenerator<Scanned, void>,
  { format, stallMs }: { readonly format: keyof typeof EXPORT_FORMATS; readonly stallMs: number },
): Promise<void> {
  const { type } = EXPORT_FORMATS[format];
  const headers = ['content-type', type, 'content-disposition', `attachment; filename="jobs.${format}"`];
  return writeBody(call, rowsOf(scanned, EXPORT_FORMATS[format]), { stallMs, headers });
}

async function* rowsOf(scanned: AsyncGenerator<Scanned, void>, { head, rowOf }: Format): AsyncGenerator<string, void> {
  let hasHead = head === '';
  for await (const { record } of scanned) {
    if (!hasHead) yield head;
    hasHead = true;
    if (record !== undefined) yield rowOf(record);
  }
  if (!hasHead) yield head;
}
