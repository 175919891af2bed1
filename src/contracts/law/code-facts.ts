// What the typed contracts say of themselves, in the words of the registry: the other side of the comparison.
import { ERRORS } from '../../core/errors.ts';
import { EXECUTION_ERRORS } from '../../core/execution-errors.ts';
import { DEFAULT_POOL } from '../assignment.ts';
import { HEADER_SETS } from '../headers.ts';
import { CONTRACTS, emitSchema, PAYLOADS } from '../registry.ts';
import {
  assignStream,
  type ConsumerSpec,
  deadLetterStream,
  ledgerUsage,
  resultStream,
  routerResults,
  type StreamSpec,
  usageStream,
  workerAssignments,
} from '../streams.ts';
import type { CodeConsumer, CodeContract, CodeFacts, CodeStream } from './material.ts';

/** Stands for any other pool; no operator has one of this name. */
const SOME_POOL = '--some-pool--';

export function codeFacts(): CodeFacts {
  const contracts = CONTRACTS.map((contract): CodeContract => {
    const { template, class: kind, headers } = contract;
    if (contract.class !== 'request_reply') {
      return { template, class: kind, headers, payload: nameOf(contract.message) };
    }
    return { template, class: kind, headers, payload: nameOf(contract.request), reply: nameOf(contract.reply) };
  });
  const named = new Set(
    contracts.flatMap(({ payload, reply }) => (reply === undefined ? [payload] : [payload, reply])),
  );
  const names = PAYLOADS.map(nameOf);
  return {
    contracts,
    headerSets: HEADER_SETS,
    streams: streams(),
    schemas: new Map(PAYLOADS.map((payload) => [nameOf(payload), JSON.parse(emitSchema(payload)) as unknown])),
    records: new Set(names.filter((name) => !named.has(name))),
    errors: { answers: ERRORS, executions: EXECUTION_ERRORS },
  };
}

const nameOf = ({ id, version }: { readonly id: string; readonly version: string }): string => `${id}@${version}`;

const streams = (): readonly CodeStream[] => [
  streamOf(assignStream(DEFAULT_POOL), [workerAssignments(DEFAULT_POOL)]),
  streamOf(assignStream(SOME_POOL), [workerAssignments(SOME_POOL)]),
  streamOf(resultStream, [routerResults]),
  streamOf(usageStream, [ledgerUsage]),
  streamOf(deadLetterStream, []),
];

/** A stream of some pool is a template in the registry. */
const templated = (name: string): string => name.replace(SOME_POOL, '<pool>');

const streamOf = (stream: StreamSpec, consumers: readonly ConsumerSpec[]): CodeStream => ({
  name: templated(stream.name),
  subject: templated(stream.subject),
  retention: stream.retention,
  max_age_ms: stream.ageMsMax,
  max_bytes: stream.bytesMax,
  consumers: consumers.map((consumer): CodeConsumer => ({
    durable: templated(consumer.durable),
    ack_wait_ms: consumer.ackWaitMs,
    max_ack_pending: consumer.ackPendingMax,
    nak_delays_ms: consumer.nakDelaysMs,
    ...(consumer.deliveryLimit === undefined ? {} : { delivery_limit: consumer.deliveryLimit }),
  })),
});
