// Two benchmarks at once measure each other, so the second one is refused.
import { once } from 'node:events';
import { createServer } from 'node:net';

/** A name in the kernel, not a file: it is gone when the process is. */
const NAME = '\0beamline-bench';

/** Holds the machine until it is disposed; throws when another run holds it. */
export async function holdMachine(): Promise<AsyncDisposable> {
  const server = createServer().listen(NAME);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new Error('another benchmark is running on this machine', { cause });
  }
  return server;
}
