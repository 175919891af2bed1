// Writes jobs as a stream of lines, as fast as the client reads. A stream that fails is cut, so that nobody takes it for
// whole: the chunk that ends the body is missing.
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
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
export async function exportJobs(
  call: Call,
  scanned: AsyncGenerator<Scanned, void>,
  { format, stallMs }: { readonly format: keyof typeof EXPORT_FORMATS; readonly stallMs: number },
): Promise<void> {
  const { type, head, rowOf } = EXPORT_FORMATS[format];
  let next = await scanned.next();
  if (call.isOver) return;
  const stop = new AbortController();
  call.owner = {
    gone: () => stop.abort(),
    abort(error) {
      stop.abort();
      cut(call, error);
    },
  };
  call.writeHead(200, ['content-type', type, 'content-disposition', `attachment; filename="jobs.${format}"`]);
  try {
    if (head !== '') await written(call, head, stallMs, stop.signal);
    while (next.done !== true && !stop.signal.aborted) {
      const { record } = next.value;
      // eslint-disable-next-line no-await-in-loop -- as fast as the client reads
      if (record !== undefined) await written(call, rowOf(record), stallMs, stop.signal);
      // eslint-disable-next-line no-await-in-loop -- as above
      next = await scanned.next();
    }
    if (stop.signal.aborted) return;
    call.res.end();
    call.finish(200);
  } catch (thrown) {
    cut(call, BeamlineError.from(thrown));
  }
}

function cut(call: Call, error: BeamlineError): void {
  call.finish(error.code === 'client_closed' ? 499 : 200, error);
  call.res.destroy();
}

/** Resolves when there is room for more; rejects when the client took nothing for a long time. */
function written({ res, edge }: Call, text: string, stallMs: number, signal: AbortSignal): Promise<void> | undefined {
  if (res.write(text)) return undefined;
  return new Promise((resolve, reject) => {
    const timer = edge.timers.after(stallMs, () => {
      done();
      reject(new BeamlineError('client_closed', 'The client did not read.'));
    });
    const go = (): void => {
      done();
      resolve();
    };
    function done(): void {
      timer.cancel();
      res.off('drain', go);
      signal.removeEventListener('abort', go);
    }
    res.once('drain', go);
    signal.addEventListener('abort', go, { once: true });
  });
}
