// A process whose files may not grow for long: it appends until the journal fails, and says how that went.
import { BeamlineError } from '../core/errors.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openJournal } from './journal.ts';

// With a handler a write over the limit fails instead of ending the process.
process.on('SIGXFSZ', () => undefined);

const [folder = ''] = process.argv.slice(2);
const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
const journal = await openJournal({ folder, bytesMax: 1_073_741_824, telemetry, onRecord: () => undefined });
const reasonOf = (fault: unknown): unknown =>
  fault instanceof BeamlineError ? fault.details['reason'] : String(fault);

const reasons: unknown[] = [];
let acknowledged = 0;
try {
  // eslint-disable-next-line no-await-in-loop -- one after the other, until it fails
  for (; acknowledged < 10_000; acknowledged++) await journal.append(`${acknowledged} ${'x'.repeat(1_000)}`);
} catch (fault) {
  reasons.push(reasonOf(fault));
}
try {
  await journal.append('small');
} catch (fault) {
  reasons.push(reasonOf(fault));
}
await journal.synced().catch((fault: unknown) => reasons.push(reasonOf(fault)));
await journal.close();
process.stdout.write(JSON.stringify({ acknowledged, reasons }));
