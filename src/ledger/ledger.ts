// The ledger role: hears every usage event of the stream and counts each once.
import type { Bus } from '../bus/bus.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
import { usageMetered } from '../contracts/usage.ts';
import type { Role } from '../core/role.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { UsageFold } from './usage-fold.ts';

export interface LedgerDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
}

export async function startLedger({ bus, telemetry }: LedgerDeps): Promise<Role> {
  const { metrics } = telemetry;
  const fold = new UsageFold();
  const results = metrics.counter({
    name: 'ledger_fold_total',
    help: 'Usage events folded.',
    labels: ['result'],
  });
  const folded = results.of('folded');
  const repeated = results.of('repeated');
  const tokens = metrics.counter({
    name: 'ledger_tokens_total',
    help: 'Tokens of folded usage events.',
    labels: ['provider', 'kind'],
  });
  const cost = metrics.counter({
    name: 'ledger_cost_micro_usd_total',
    help: 'Cost of folded usage events, in micro-USD.',
    labels: ['provider'],
  });

  await bus.ensureStream(usageStream);
  const usage = await bus.consume(
    { stream: usageStream, consumer: ledgerUsage, message: usageMetered.message },
    (delivery) => {
      const { message: event } = delivery;
      if (fold.fold(event)) {
        folded.add();
        tokens.of(event.provider_id, 'input').add(event.input_tokens ?? 0);
        tokens.of(event.provider_id, 'output').add(event.output_tokens ?? 0);
        cost.of(event.provider_id).add(event.cost_micro_usd ?? 0);
      } else {
        repeated.add();
      }
      delivery.ack();
    },
  );
  telemetry.log.for('ledger').info('ledger_ready');
  return { name: 'ledger', [Symbol.asyncDispose]: () => usage.drain() };
}
