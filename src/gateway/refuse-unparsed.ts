// Answers what node's parser could not read: a head that is too large, too slow or not HTTP, a broken body (gateway 2).
// There is no request to answer to, so the answer is written to the socket by hand, if it still takes one.
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { BeamlineError } from '../core/errors.ts';
import { newRequestId } from '../core/ids.ts';
import type { Call, Edge } from './call.ts';
import { errorAnswer } from './error-answer.ts';
import { errorClassOf } from './error-class.ts';
import { dialectOf } from './http-dialect.ts';
import { traceOf } from './trace-context.ts';

const LINGER_MS = 500;
/** The peer ended within a request: it left, nobody reads an answer. */
const LEFT = 'HPE_INVALID_EOF_STATE';
const REQUEST_LINE = /^[A-Z]{1,16} (\/\S*)/;

const FAULTS: Readonly<Record<string, () => BeamlineError>> = {
  HPE_HEADER_OVERFLOW: () => new BeamlineError('headers_too_large', 'The request head is too large.'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: () =>
    new BeamlineError('request_too_large', 'The extensions of a chunk are too large.'),
  ERR_HTTP_REQUEST_TIMEOUT: () => new BeamlineError('request_timeout', 'The request did not come in time.'),
};

const malformed = (): BeamlineError =>
  new BeamlineError('invalid_request', 'The request is not HTTP/1.1.', { details: { reason: 'malformed_http' } });

/** `call` is the last one of the socket, if there was any. */
export function refuseUnparsed(
  edge: Edge,
  fault: Error & { readonly code?: string | undefined; readonly rawPacket?: unknown },
  socket: Duplex,
  call: Call | undefined,
): void {
  if (fault.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const error = (FAULTS[fault.code ?? ''] ?? malformed)();
  if (call !== undefined && !call.res.closed) {
    // The fault is in the body of a request that is being served, or behind it.
    if (call.isOver) call.res.once('close', () => socket.destroy());
    else if (call.res.headersSent || fault.code === LEFT) socket.destroy();
    else call.fail(error, true);
    return;
  }
  answer(edge, error, socket, pathOf(fault.rawPacket));
}

/** Answers a CONNECT, which node hands over as a socket. */
export const refuseConnect = (edge: Edge, socket: Duplex): void =>
  answer(edge, new BeamlineError('method_not_allowed', 'The method is not served.'), socket, '');

function answer(edge: Edge, error: BeamlineError, socket: Duplex, path: string): void {
  const requestId = newRequestId(edge.timers.clock);
  const { traceId, traceparent } = traceOf({});
  const { status, headers, body } = errorAnswer(error, dialectOf(path, {}), { requestId, traceId, tenantId: '' });
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    `x-request-id: ${requestId}`,
    `x-beamline-request-id: ${requestId}`,
    `traceparent: ${traceparent}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  const timer = edge.timers.after(LINGER_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  const errorClass = errorClassOf(error);
  edge.unrouted.observe('', status, 0);
  edge.metrics.errors.of(error.code, errorClass).add();
  edge.log.info('request', {
    request_id: requestId,
    route: edge.unrouted.route,
    status,
    code: error.code,
    error_class: errorClass,
  });
}

const pathOf = (packet: unknown): string =>
  (Buffer.isBuffer(packet) ? REQUEST_LINE.exec(packet.toString('latin1', 0, 2_048))?.[1] : undefined) ?? '';
