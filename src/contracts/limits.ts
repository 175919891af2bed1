// The constants of the wire, used by name everywhere else (contracts 1.1).

export const ID_BYTES_MAX = 128;
export const KEY_BYTES_MAX = 256;
export const TEXT_CHARS_MAX = 1024;
/** Largest message body that is sent. */
export const MESSAGE_BYTES_MAX = 720_000;
/** An object whose members are the author's own: metadata, context. */
export const OBJECT_BYTES_MAX = 65_536;
/** Inline output of an answer, and the gateway's buffer per stream. */
export const INLINE_BYTES_MAX = 262_144;
/** A whole answer, in as many messages as it takes. */
export const ANSWER_BYTES_MAX = 16_777_216;
export const JSON_DEPTH_MAX = 64;
/** Levels of an inline output: messages and records hold it some levels deeper. */
export const OUTPUT_DEPTH_MAX = JSON_DEPTH_MAX - 4;

export const DEADLINE_MIN_MS = 100;
export const DEADLINE_MAX_MS = 3_600_000;
/** A worker that missed this many heartbeats is lost. */
export const WORKER_BEATS_MISSED_MAX = 3;
/** What a cancel leaves running is abandoned after this time. */
export const CANCEL_GRACE_MS = 2_000;
/** How far the clocks of two machines may be apart. */
export const CLOCK_SKEW_MS = 2_000;
/** How long a worker remembers a cancel that came before its assignment. */
export const CANCEL_MEMORY_MS = 600_000;
export const CANCEL_MEMORY_COUNT = 10_000;
/** Duplicate window of every stream. */
export const DUPLICATE_WINDOW_MS = 120_000;
