// Loaded into a process before everything else: its wall clock can be set by a signal, as somebody who corrects the time of
// a machine does. The monotonic clock goes on as it did.
import { readFileSync } from 'node:fs';

const real = Date.now;
let offsetMs = 0;
Date.now = () => real() + offsetMs;
process.on('SIGUSR2', () => {
  // eslint-disable-next-line node/no-process-env -- of a test
  offsetMs = Number(readFileSync(process.env['TEST_CLOCK_FILE'] ?? '', 'utf8'));
  process.stderr.write(`clock_set ${offsetMs}\n`);
});
