// Server-sent events as text: one data line of JSON and a blank line, LF ends (gateway 11.1).

export const SSE_DONE = 'data: [DONE]\n\n';
/** The comment that keeps a silent connection open. */
export const SSE_KEEP_ALIVE = ': keep-alive\n\n';

/** The event that carries one line of JSON; the line must not break. */
export const sseData = (json: string): string => `data: ${json}\n\n`;

/** Whether a payload that others made can be written through as one data line. */
export const isOneLine = (payload: string): boolean => !payload.includes('\n') && !payload.includes('\r');
