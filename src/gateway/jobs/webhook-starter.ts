// Begins deliveries: it hears of every job that ends, and creates what is to be told of it. Creating is done once however
// many gateways hear it. What ended while nobody listened it looks for when it begins to listen: among the jobs of the
// tenants that have endpoints, one after the other, and no older ones than are told.
import type { Entry, KeyValue } from '../../bus/bus.ts';
import { isTerminal, jobState } from '../../contracts/job.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import { decodeToken } from '../../contracts/subject.ts';
import type { Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';
import { findAssignment, readIfLegal } from './job-records.ts';
import type { JobWatch } from './job-watch.ts';
import { keyOfDelivery, written } from './webhook-deliveries.ts';
import type { WebhookEndpoint } from './webhook-endpoint.ts';
import { deliveryOf } from './webhook-event.ts';

export interface StarterDeps {
  readonly jobs: KeyValue;
  readonly bucket: KeyValue;
  readonly watch: JobWatch;
  readonly timers: Timers;
  readonly log: Log;
  readonly endpointOf: (tenantId: string, webhookId: string) => WebhookEndpoint | undefined;
  /** Tenants that have an endpoint. */
  readonly tenants: ReadonlySet<string>;
}

/** What ended longer ago is not told any more. */
const TOLD_MS = 3 * 86_400_000;
const KNOWN_MAX = 50_000;
const WAITING_MAX = 100_000;
const AT_ONCE = 8;
const AGAIN_MS = 5_000;

export class WebhookStarter implements Disposable {
  readonly #deps: StarterDeps;
  readonly #listening: Disposable;
  /** Assignments that were looked at, oldest first. */
  readonly #known = new Set<string>();
  readonly #waiting = new Map<string, string>();
  #running = 0;
  #isOver = false;

  constructor(deps: StarterDeps) {
    this.#deps = deps;
    this.#listening = deps.watch.onEach({
      hear: (entry) => this.#hear(entry),
      begun: () => void this.#catchUp(),
    });
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#waiting.clear();
    this.#listening[Symbol.dispose]();
  }

  #hear({ key, value, deleted }: Entry): void {
    const [tenant = '', assignment = ''] = key.split('.').map(decodeToken);
    if (deleted || !this.#deps.tenants.has(tenant) || this.#known.has(assignment)) return;
    if (this.#hasEnded(value)) this.#enqueue(tenant, assignment);
  }

  /** Lately enough to be told. */
  #hasEnded(value: string): boolean {
    const state = readIfLegal(jobState, value);
    if (state === undefined || !isTerminal(state.status)) return false;
    return (state.ended_at_ms ?? state.updated_at_ms) >= this.#deps.timers.clock.epochMs() - TOLD_MS;
  }

  async #catchUp(): Promise<void> {
    const { jobs, tenants, timers, log } = this.#deps;
    try {
      for (const tenant of tenants) {
        const states = keyPattern(tenant, undefined, 'state');
        // eslint-disable-next-line no-await-in-loop -- one after the other, beside other work
        for await (const { key, writtenAtMs } of jobs.keys(states)) {
          const assignment = decodeToken(key.split('.')[1] ?? '');
          if (this.#isOver) return;
          if (writtenAtMs < timers.clock.epochMs() - TOLD_MS || this.#known.has(assignment)) continue;
          // eslint-disable-next-line no-await-in-loop -- as above
          const entry = await jobs.get(key);
          if (entry === undefined || !this.#hasEnded(entry.value)) continue;
          // eslint-disable-next-line no-await-in-loop -- as above
          await this.#begin(tenant, assignment);
          this.#remember(assignment);
        }
      }
    } catch (fault) {
      if (this.#isOver) return;
      log.warn('webhook_catch_up_failed', { fault });
      timers.after(AGAIN_MS, () => void (this.#isOver || this.#catchUp()));
    }
  }

  #enqueue(tenant: string, assignment: string): void {
    if (this.#waiting.size >= WAITING_MAX) {
      this.#deps.log.warn('webhook_starts_full', { tenant_id: tenant });
      return;
    }
    this.#waiting.set(assignment, tenant);
    this.#next();
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#running >= AT_ONCE || this.#isOver) return;
    const [assignment, tenant] = first;
    this.#waiting.delete(assignment);
    this.#running++;
    void this.#begin(tenant, assignment)
      .then(() => this.#remember(assignment))
      .catch((fault: unknown) => {
        this.#deps.log.warn('webhook_start_failed', { tenant_id: tenant, fault });
        this.#deps.timers.after(AGAIN_MS, () => {
          if (!this.#isOver) this.#enqueue(tenant, assignment);
        });
      })
      .finally(() => {
        this.#running--;
        this.#next();
      });
  }

  async #begin(tenant: string, assignment: string): Promise<void> {
    const { jobs, bucket, endpointOf, timers } = this.#deps;
    const record = await findAssignment(jobs, tenant, assignment);
    const webhookId = record?.request.request.job?.webhook_id;
    const endpoint = webhookId === undefined ? undefined : endpointOf(tenant, webhookId);
    if (record === undefined || endpoint === undefined) return;
    const delivery = deliveryOf(endpoint, record, timers.clock.epochMs());
    // One that is there was begun before.
    if (delivery !== undefined) await written(bucket, keyOfDelivery(delivery), delivery, 0);
  }

  #remember(assignment: string): void {
    const oldest = this.#known.size < KNOWN_MAX ? undefined : this.#known.values().next().value;
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.add(assignment);
  }
}
