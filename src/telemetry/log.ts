// One JSON object per line through pino, with our own destination and our own masking in front.
// Bodies, prompts, outputs and header values are never logged: fields are an allow-list by type.
import { pino } from 'pino';
import { type Clock, systemClock } from '../core/clock.ts';
import { redactText } from '../core/redact.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What a line may carry beside its event name; what is undefined is left out. */
export interface LogFields {
  readonly request_id?: string | undefined;
  readonly trace_id?: string | undefined;
  readonly tenant_id?: string | undefined;
  readonly assignment_id?: string | undefined;
  readonly attempt?: number | undefined;
  readonly code?: string | undefined;
  readonly detail_code?: string | undefined;
  readonly error_class?: string | undefined;
  readonly route?: string | undefined;
  readonly method?: string | undefined;
  readonly status?: number | undefined;
  readonly latency_ms?: number | undefined;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  readonly policy?: string | undefined;
  readonly revision?: number | undefined;
  /** Of bodies, in bytes. */
  readonly body_limit?: { readonly inference: number; readonly native: number } | undefined;
  /** Who asked, by the id of the key, and for which operation. */
  readonly key_id?: string | undefined;
  readonly operation?: string | undefined;
  /** Why an operator did it, in masked words. */
  readonly reason?: string | undefined;
  readonly worker_id?: string | undefined;
  readonly count?: number | undefined;
  readonly state?: string | undefined;
  readonly url?: string | undefined;
  /** Digest of a text that is kept nowhere, to find it where it came from. */
  readonly original_sha256?: string | undefined;
  readonly source?: string | undefined;
  /** The text of a fault, masked. */
  readonly fault?: unknown;
}

/** `event` is a `snake_case` name, unique in the tree: a line in a log leads to one line of code. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  for(component: string): Log;
}

export interface LogSink {
  write(line: string): void;
}

export function openLog(level: LogLevel, sink: LogSink, clock: Clock = systemClock): Log {
  let stampedMs = -1;
  let stamp = '';
  // One text per millisecond: under load many lines share it.
  const timestamp = (): string => {
    const nowMs = clock.epochMs();
    if (nowMs !== stampedMs) {
      stampedMs = nowMs;
      stamp = `,"timestamp":"${new Date(nowMs).toISOString()}"`;
    }
    return stamp;
  };
  const root = pino(
    {
      level,
      base: null,
      timestamp,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
  return wrap(root);
}

function wrap(logger: pino.Logger): Log {
  const write =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (event: string, fields?: LogFields): void => {
      if (fields === undefined) logger[level](event);
      else logger[level](fields.fault === undefined ? fields : { ...fields, fault: textOf(fields.fault) }, event);
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    for: (component) => wrap(logger.child({ component })),
  };
}

function textOf(fault: unknown): string {
  if (!(fault instanceof Error)) return redactText(String(fault));
  const cause = fault.cause === undefined ? '' : ` <- ${textOf(fault.cause)}`;
  return redactText(`${fault.stack ?? fault.message}${cause}`);
}
