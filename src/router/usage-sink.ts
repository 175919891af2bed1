// Where usage events of this router go: into their stream, under ids that make a repeat harmless.
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMessageId, usageMetered } from '../contracts/usage.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { DecisionLog } from './decision-log.ts';
import { experimentCounts } from './experiment-counts.ts';

const CONFIRM_MS = 20_000;

export interface UsageSink {
  /** Resolves when the stream has it. Throws what the bus throws. */
  emit(event: UsageEvent): Promise<void>;
  /** An attempt that consumed nothing. */
  nothing(): void;
}

export interface UsageSinkDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly decisions?: DecisionLog | undefined;
}

export async function openUsageSink({ bus, telemetry, decisions }: UsageSinkDeps): Promise<UsageSink> {
  const to = at(usageMetered);
  const emitted = telemetry.metrics.counter({
    name: 'router_usage_events_total',
    help: 'Usage events by what became of them.',
    labels: ['result'],
  });
  const experiments = experimentCounts(telemetry.metrics);
  const sent = emitted.of('sent');
  const nothing = emitted.of('nothing_consumed');
  const failed = emitted.of('failed');
  await bus.ensureStream(usageStream);
  return {
    async emit(event) {
      const correlation = { traceId: event.trace_id ?? '-', tenantId: event.tenant_id };
      const messageId = usageMessageId(event);
      try {
        const { duplicate } = await bus.append(to, event, {
          messageId,
          timeoutMs: CONFIRM_MS,
          correlation,
          urgency: 'batched',
        });
        sent.add();
        if (event.experiments !== undefined && !duplicate) experiments.metered(event, event.experiments);
        decisions?.metered(event);
      } catch (fault) {
        failed.add();
        throw fault;
      }
    },
    nothing: () => nothing.add(),
  };
}
