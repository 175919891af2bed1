// Every message that this system sends or serves, in one list; the emitted schemas come from it.
import { adminV2 } from './admin.ts';
import { approval } from './approval.ts';
import { execAssign, execAssignAck, execAssignPool, execCall } from './assignment.ts';
import { backpressureV2 } from './backpressure.ts';
import { breakerOverride } from './breaker-override.ts';
import { canaryAbort } from './canary-abort.ts';
import { cancel } from './cancel.ts';
import type { Payload } from './contract.ts';
import { contractSwitch } from './contract-switch.ts';
import { deadLetter } from './dead-letter.ts';
import { decideV1, decideV2 } from './decide.ts';
import { extensionPost, extensionPre, extensionValidate } from './extension.ts';
import { extensionRecord, extensionReset } from './extension-descriptor.ts';
import { frames } from './frames.ts';
import { workerHeartbeat } from './heartbeat.ts';
import { attemptOutcome } from './outcome.ts';
import { jobRequest, jobState } from './job.ts';
import { jobControl } from './job-control.ts';
import { ledgerV2 } from './ledger.ts';
import { presence } from './presence.ts';
import { providerCall } from './provider-call.ts';
import { execResult } from './result.ts';
import { stickyBinding } from './sticky-binding.ts';
import { usageMetered } from './usage.ts';
import { webhookDelivery, webhookHealth } from './webhook-delivery.ts';

/** Every contract: a message that is not in this list is none of the system's. */
export const CONTRACTS = [
  decideV1,
  decideV2,
  backpressureV2,
  adminV2,
  jobControl,
  ledgerV2,
  execCall,
  execAssign,
  execAssignPool,
  execAssignAck,
  frames,
  attemptOutcome,
  cancel,
  workerHeartbeat,
  execResult,
  usageMetered,
  deadLetter,
  extensionPre,
  extensionValidate,
  extensionPost,
  providerCall,
] as const;

/** What stands in buckets. */
const RECORDS: readonly Payload<unknown>[] = [
  jobRequest,
  jobState,
  approval,
  presence,
  contractSwitch,
  breakerOverride,
  canaryAbort,
  extensionRecord,
  extensionReset,
  stickyBinding,
  webhookDelivery,
  webhookHealth,
];

/** Every payload once, by schema id and version. */
export const PAYLOADS: readonly Payload<unknown>[] = [
  ...new Set(
    CONTRACTS.flatMap((contract): readonly Payload<unknown>[] =>
      contract.class === 'request_reply' ? [contract.request, contract.reply] : [contract.message],
    ),
  ),
  ...RECORDS,
];

/** The JSON Schema 2020-12 document of a payload, as it is committed. */
export const emitSchema = ({ id, version, schema }: Payload<unknown>): string =>
  `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', $id: `${id}@${version}`, ...schema }, null, 2)}\n`;
