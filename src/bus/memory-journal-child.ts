// A process that appends and writes until it is killed, and says on its standard output what was acknowledged.
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import { correlation, openGround } from './conformance-fixture.ts';
import { openBusJournal } from './memory-journal.ts';
import { openMemoryBus } from './memory.ts';

const [folder = ''] = process.argv.slice(2);
const ground = openGround();
const journal = await openBusJournal({ folder, ...ground, stepBytes: 65_536 });
const bus = openMemoryBus({ ...ground, journal });
await bus.ensureStream({
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: 1_073_741_824,
});
const bucket = await bus.openBucket({ name: 'jobs', bytesMax: 1_073_741_824 });

for (let round = 0; ; round++) {
  const ids = Array.from({ length: 20 }, (_, n) => `m-${round}-${n}`);
  // eslint-disable-next-line no-await-in-loop -- round after round, until it is killed
  const seqs = await Promise.all(
    ids.map(async (id) => {
      const result = { assignment_id: id, tenant_id: 'acme', status: 'success' } as const;
      return (await bus.append(at(execResult), result, { messageId: id, timeoutMs: 1_000, correlation })).seq;
    }),
  );
  // eslint-disable-next-line no-await-in-loop -- as above
  const revision = await bucket.put('acme.one', `round ${round}`);
  process.stdout.write(`${JSON.stringify({ ids, seqs, round, revision })}\n`);
}
