// Opens a secret by reference. A file may be replaced while we run: the new content counts from the next use.
import { readFileSync, statSync } from 'node:fs';
import type { Clock } from '../core/clock.ts';
import type { Environment } from './environment.ts';

const CHECK_EVERY_MS = 1000;
const BYTES_MAX = 65_536;

/** The secret now, without surrounding white space; undefined while it is missing or empty. */
export type Secret = () => string | undefined;

/** `ref` is `env:NAME` or `file:/path`; a file is looked at when asked for, at most once per second. */
export function openSecret(ref: string, { env, clock }: { env: Environment; clock: Clock }): Secret {
  if (!ref.startsWith('file:')) {
    const value = trimmed(env[ref.slice('env:'.length)]);
    return () => value;
  }
  const path = ref.slice('file:'.length);
  let value: string | undefined;
  let stamp = '';
  let checkedMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = clock.nowMs();
    if (nowMs - checkedMs < CHECK_EVERY_MS) return value;
    checkedMs = nowMs;
    const seen = stampOf(path);
    if (seen === stamp) return value;
    const read = readSecret(path);
    // A file that is being replaced may be gone or empty for a moment: the last good secret stays.
    if (read !== undefined) [value, stamp] = [read, seen];
    return value;
  };
}

const trimmed = (text: string | undefined): string | undefined => text?.trim() || undefined;

function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? '' : `${stat.ino}:${stat.mtimeNs}:${stat.size}`;
}

function readSecret(path: string): string | undefined {
  try {
    return statSync(path).size > BYTES_MAX ? undefined : trimmed(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
