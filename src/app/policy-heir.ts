// The policy source that speaks HTTP to a HEIR policy store (policy 12.2): one client, the change feed, the writes.
// H1. A write is answered after the store confirmed it; an unclear end is `unavailable` and may have been a success.
// H2. What the store refuses keeps its meaning: 412 precondition_failed, 422 validation_failed, 404 not_found.
import { heirAddress } from '../config/heir-address.ts';
import type { Config } from '../config/schema.ts';
import { BeamlineError } from '../core/errors.ts';
import { digestOf, noSuchPolicy } from '../router/policy-record.ts';
import type { PolicyListener, PolicyRecord, PolicySource, PolicyWrite } from '../router/policy-source.ts';
import type { Ground } from './ground.ts';
import { type HeirAnswer, unavailable } from './heir-answer.ts';
import { HeirClient, type HeirRequest } from './heir-client.ts';
import { HeirFeed } from './heir-feed.ts';
import { readHistory } from './heir-history.ts';
import { isPolicyKey, readFindings, readRecord, readRevision } from './heir-page.ts';
import { requiredSecret } from './secret.ts';

export type HeirDeps = Pick<Ground, 'timers' | 'telemetry'> & {
  /** From 0 to 1; spreads polls and retries. */
  readonly random?: () => number;
};

/** Opens no socket until it is asked. Throws `validation_failed` for a missing secret or an unusable certificate. */
export function openHeirSource(config: Config, deps: HeirDeps): PolicySource {
  return new HeirSource(config, deps);
}

class HeirSource implements PolicySource {
  readonly kind = 'heir';
  readonly #client: HeirClient;
  readonly #openFeed: (listener: PolicyListener) => HeirFeed;
  readonly #deps: HeirDeps;
  #feed: HeirFeed | undefined;

  constructor(config: Config, deps: HeirDeps) {
    const { timers, telemetry, random = Math.random } = deps;
    const log = telemetry.log.for('policy_source');
    const secret = (name: 'token' | 'ca' | 'cert' | 'key') => {
      const setting = `heir_policy_store_${name}` as const;
      const ref = config[setting];
      return ref === undefined ? undefined : requiredSecret(setting, ref, timers.clock);
    };
    this.#deps = deps;
    this.#client = new HeirClient({
      target: {
        address: heirAddress(config),
        token: secret('token'),
        ca: secret('ca'),
        cert: secret('cert'),
        key: secret('key'),
      },
      timeoutMs: config.heir_policy_store_timeout,
      requestTimeoutMs: config.heir_policy_store_request_timeout,
      timers,
      log,
      random,
    });
    const pollMs = config.heir_policy_store_poll;
    this.#openFeed = (listener) => new HeirFeed({ client: this.#client, listener, pollMs, timers, log, random });
  }

  async watch(listener: PolicyListener): Promise<void> {
    if (this.#feed !== undefined) throw new BeamlineError('internal', 'the policy source is watched already');
    this.#feed = this.#openFeed(listener);
    await this.#feed.start();
  }

  async put(write: PolicyWrite, document: unknown): Promise<PolicyRecord> {
    const path = pathOf(write.tenantId, write.policyId);
    const body = JSON.stringify(document) as string | undefined;
    if (body === undefined) throw new BeamlineError('invalid_request', 'a policy is a JSON document');
    const answer = await this.#client.send({ method: 'PUT', path, body, headers: conditionOf(write) });
    if (answer.status !== 200 && answer.status !== 201) throw refusal(answer);
    const { revision } = (answer.body ?? {}) as { revision?: unknown };
    return this.#written(write, readRevision(revision), document);
  }

  /** The tombstone's revision is the lowest that it can have where the store does not tell it; the feed brings the true one. */
  async delete(write: PolicyWrite): Promise<PolicyRecord> {
    const path = pathOf(write.tenantId, write.policyId);
    const isBlind = write.expectedRevision === undefined || write.expectedRevision === 0;
    const before = isBlind ? (await this.#read(path)).revision : write.expectedRevision;
    if (write.expectedRevision === 0) throw mismatch();
    const answer = await this.#client.send({ method: 'DELETE', path, headers: conditionOf(write) });
    if (answer.status !== 204 && answer.status !== 200) throw refusal(answer);
    return this.#written(write, Math.max(revisionIn(answer.etag) ?? 0, before + 1), null);
  }

  async history(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]> {
    return readHistory((request) => this.#get(request), pathOf(tenantId, policyId));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const fed = this.#feed?.[Symbol.asyncDispose]();
    await this.#client[Symbol.asyncDispose]();
    await fed;
  }

  async #read(path: string): Promise<PolicyRecord> {
    return readRecord((await this.#get({ method: 'GET', path })).body);
  }

  async #get(request: HeirRequest): Promise<HeirAnswer> {
    const answer = await this.#client.send(request);
    if (answer.status !== 200) throw refusal(answer);
    return answer;
  }

  #written({ tenantId, policyId, by }: PolicyWrite, revision: number, policy: unknown): PolicyRecord {
    const record: PolicyRecord = {
      tenant_id: tenantId,
      policy_id: policyId,
      revision,
      policy,
      digest: digestOf(policy),
      updated_at_ms: this.#deps.timers.clock.epochMs(),
      updated_by: by,
      deleted: policy === null,
    };
    this.#feed?.wrote(record);
    return record;
  }
}

function pathOf(tenantId: string, policyId: string): string {
  if (!isPolicyKey(tenantId, policyId)) throw new BeamlineError('invalid_request', 'this is not the key of a policy');
  return `/api/v1/policies/${encodeURIComponent(tenantId)}/${encodeURIComponent(policyId)}`;
}

function conditionOf({ expectedRevision }: PolicyWrite): Readonly<Record<string, string>> {
  if (expectedRevision === undefined) return {};
  return expectedRevision === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${expectedRevision}"` };
}

const revisionIn = (etag: string | undefined): number | undefined => {
  const digits = /^(?:W\/)?"(\d{1,15})"$/.exec(etag ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
};

const mismatch = (): BeamlineError => new BeamlineError('precondition_failed', 'the policy has another revision');

function refusal({ status, body }: HeirAnswer): BeamlineError {
  switch (status) {
    case 404:
      return noSuchPolicy();
    case 409:
      return new BeamlineError('conflict', 'the policy store refuses the change', { details: { status } });
    case 412:
      return mismatch();
    case 422:
      return new BeamlineError('validation_failed', 'the policy store refuses the document', {
        details: { errors: readFindings(body), warnings: [] },
      });
    default:
      if (status >= 400)
        return new BeamlineError('invalid_request', 'the policy store refuses the request', { details: { status } });
      return unavailable('unexpected_status', { status });
  }
}
