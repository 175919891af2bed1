// The one suite that every bus passes. Each case gets two processes on a bus of its own.
import { test } from 'node:test';
import { blobCases } from './conformance-blobs.ts';
import { bucketCases } from './conformance-buckets.ts';
import type { Opened } from './conformance-fixture.ts';
import { eventCases, requestCases } from './conformance-messages.ts';
import { storedCases } from './conformance-stored.ts';
import { streamCases } from './conformance-streams.ts';

const ALL = [...requestCases, ...eventCases, ...streamCases, ...storedCases, ...bucketCases, ...blobCases];

/** Declares the tests; `open` gives an empty bus. */
export function testBus(name: string, open: () => Promise<Opened>): void {
  for (const [sentence, run] of ALL) {
    test(`${name} bus: ${sentence}`, { timeout: 60_000 }, async () => {
      await using opened = await open();
      await run(opened);
    });
  }
}
