// Providers that administrators registered (policy 10.1): services on the bus, which a worker asks as those of the type `nats`.
// What was read last holds while the bucket is away; routers tell of records that cannot be read.
import type { Bus, Entry } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import { readRecord } from '../contracts/codec.ts';
import {
  extensionBucket,
  type ExtensionDocument,
  extensionKey,
  extensionRecord,
} from '../contracts/extension-descriptor.ts';
import type { Provider } from '../provider/provider.ts';
import type { Ground } from './ground.ts';

export interface RegisteredProviders extends AsyncDisposable {
  /** Undefined for what is not registered, or not enabled. */
  get(id: string): Provider | undefined;
}

interface Held {
  readonly key: string;
  readonly revision: number;
  readonly provider: Provider;
}

export async function openRegisteredProviders(
  { timers, telemetry: { log } }: Pick<Ground, 'timers' | 'telemetry'>,
  bus: Bus,
  open: (document: Pick<ExtensionDocument, 'id' | 'config'>) => Provider,
): Promise<RegisteredProviders> {
  const bucket = await bus.openBucket(extensionBucket);
  const closing = new AbortController();
  const held = new Map<string, Held>();

  // A call that runs goes on with the provider that it has.
  const forget = ({ key, revision }: Entry): void => {
    for (const [id, one] of held) if (one.key === key && one.revision < revision) held.delete(id);
  };
  const hear = (entry: Entry): void => {
    const { key, revision } = entry;
    if (entry.deleted) return forget(entry);
    const record = readRecord(extensionRecord, entry.value);
    if (record === undefined || extensionKey(record.id) !== key) return;
    if (record.type !== 'provider' || !record.enabled) return forget(entry);
    const { id } = record;
    if ((held.get(id)?.revision ?? 0) < revision) held.set(id, { key, revision, provider: open(record) });
  };
  for (const entry of await bucket.entries().catch(() => [])) hear(entry);
  const following = followBucket({
    bucket,
    signal: closing.signal,
    timers,
    log,
    unwatched: 'providers_unwatched',
    hear,
  });

  return {
    get: (id) => held.get(id)?.provider,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await following;
      await Promise.all(Array.from(held.values(), ({ provider }) => provider[Symbol.asyncDispose]()));
    },
  };
}
