// Puts dead letters into their stream for tests.
import { createHash } from 'node:crypto';
import { at } from '../contracts/contract.ts';
import { deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import type { Bus } from './bus.ts';
import { letterHeaders } from './dead-letters.ts';

export const LETTER_BODY = JSON.stringify({
  version: '1',
  assignment_id: 'a-1',
  tenant_id: 'kestrel',
  status: 'success',
});

export const FINAL = { class: 'validation', code: 'PARSE_ERROR', message: 'no', retryable: false } as const;

/** A result of the tenant `kestrel` that was delivered too often. */
export async function giveLetter(
  bus: Bus,
  msgId: string,
  { body = LETTER_BODY, ...more }: Partial<DlqEnvelope> & { readonly body?: string } = {},
): Promise<void> {
  const letter: DlqEnvelope = {
    version: '2',
    msg_id: msgId,
    original_subject: 'caf.exec.result.v1',
    producer: 'router@r-1',
    error: { class: 'exhausted', code: 'DELIVERY_EXHAUSTED', message: 'no', retryable: true },
    delivery: { count: 11, limit: 10, first_seen_ms: 1, last_seen_ms: 2 },
    headers: {},
    payload: Buffer.from(body).toString('base64'),
    payload_encoding: 'base64',
    payload_bytes: body.length,
    payload_sha256: createHash('sha256').update(body).digest('hex'),
    tenant_id: 'kestrel',
    ...more,
  };
  await bus.append(at(deadLetter), letter, {
    messageId: msgId,
    timeoutMs: 5_000,
    correlation: { traceId: '-', tenantId: 'kestrel' },
    headers: letterHeaders(letter),
  });
}
