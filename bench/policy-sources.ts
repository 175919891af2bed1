// Policies as a router holds them: ten thousand tenants from files, a thousand swaps under load, and lookups while the HTTP store
// is slow, down, or returns garbage.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { FakeHeir, type Quirk } from '../src/app/heir-fixture.ts';
import { systemClock } from '../src/core/clock.ts';
import { decide } from '../src/policy/decide.ts';
import { parsePolicy } from '../src/policy/parse.ts';
import { PolicyReplica } from '../src/router/policy-replica.ts';
import { openLog } from '../src/telemetry/log.ts';
import { Metrics } from '../src/telemetry/metrics.ts';
import { startNode } from '../test/process.ts';
import { until } from '../test/until.ts';
import { BREAKERS_ON, providers, requests, rules } from './policy-documents.ts';
import type { Figures } from './policy-figures.ts';
import { openStoreSite } from './policy-store-site.ts';
import { percentile } from './statistics.ts';

const TENANTS = 10_000;
const POLICY_BYTES = 2_048;
const SWAPS = 1_000;
const WARM_UP_SWAPS = 200;
/** Decisions a second that go on while policies are swapped. */
const LOAD = 2_000;
const SWAP_GAP_MS = 10;
const LOOKUP_MS = 2_000;
const LONG_MS = 60_000;

const telemetryOf = () => ({ log: openLog('silent', { write: () => undefined }), metrics: new Metrics() });

function tenantDocument(n: number): object {
  const document = { version: '2.0', description: '', providers: providers(10, n), rules: rules(3) };
  const bytes = JSON.stringify(document).length;
  return { ...document, description: `${n} `.padEnd(POLICY_BYTES - bytes, 'a policy of a tenant ') };
}

/** In a process of its own, so that its memory is that of the policies. */
async function coldFrom(source: 'files' | 'heir', where: string): Promise<Figures> {
  const program = new URL('policy-cold.ts', import.meta.url).pathname;
  const child = startNode(['--expose-gc', program, source, where, String(TENANTS)]);
  await child.ended;
  const [, figures] = /^figures (.*)$/m.exec(child.output()) ?? [];
  if (figures === undefined) throw new Error(child.output());
  return JSON.parse(figures) as Figures;
}

export async function measureColdFiles(): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-bench-policies-'));
  try {
    for (let n = 0; n < TENANTS; n++) {
      mkdirSync(join(folder, `tenant-${n}`));
      writeFileSync(join(folder, `tenant-${n}`, 'main.json'), JSON.stringify(tenantDocument(n)));
    }
    return await coldFrom('files', folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function measureColdHeir(): Promise<Figures> {
  await using store = new FakeHeir();
  for (let n = 0; n < TENANTS; n++) store.write('main', tenantDocument(n), `tenant-${n}`);
  return await coldFrom('heir', `http://127.0.0.1:${await store.listen()}`);
}

/** All names of a revision say its number, so that a decision of two is seen. */
const documentOf = (revision: number): object => ({
  version: '2.0',
  providers: Array.from({ length: 10 }, (_, n) => ({ name: `p${n}-r${revision}`, weight: 1 + n })),
  rules: Array.from({ length: 20 }, (_, n) => ({
    id: `rule-${n}`,
    when: `request.input_tokens >= ${n * 1_000 + revision} || task.type == 'ai.chat'`,
    // eslint-disable-next-line unicorn/no-thenable -- the word of the language
    then: { tag: `r${revision}` },
    continue: true,
  })),
});

/** Swaps and decisions share one loop, as in a router; each decision holds its policy over a turn, as while extensions are asked. */
export async function measureSwaps(): Promise<Figures> {
  const replica = new PolicyReplica({
    source: 'kv',
    tenants: new Set(['t']),
    builtIns: [],
    parse: (document, key) => parsePolicy(document, { ...key, knownProviders: new Set() }),
    clock: systemClock,
    telemetry: telemetryOf(),
  });
  const record = (revision: number) => ({
    tenant_id: 't',
    policy_id: 'main',
    revision,
    policy: documentOf(revision),
    digest: '',
    updated_at_ms: 1,
    updated_by: 'bench',
    deleted: false,
  });
  replica.all([record(1)]);
  // A router that runs has compiled policies before.
  for (let revision = 2; revision <= WARM_UP_SWAPS; revision++) {
    replica.changed(record(revision));
    // eslint-disable-next-line no-await-in-loop -- as seldom as those that are timed
    await sleep(SWAP_GAP_MS);
  }
  const facts = requests(1_000);
  const times: number[] = [];
  let mixed = 0;
  let running = 0;
  let fault: unknown;
  const decideOne = async (n: number, dueMs: number): Promise<void> => {
    const one = facts[n % facts.length];
    if (one === undefined) return;
    running++;
    const policy = replica.find('t', 'main');
    await turn();
    const verdict = decide(policy, one, BREAKERS_ON, false);
    times.push(performance.now() - dueMs);
    const end = `r${policy.revision}`;
    const isWhole = verdict.kind === 'chosen' && verdict.target.name.endsWith(`-${end}`) && verdict.tags[0] === end;
    if (!isWhole) mixed++;
    running--;
  };
  const startMs = performance.now();
  let decided = 0;
  let swapped = 0;
  while (swapped < SWAPS) {
    const nowMs = performance.now() - startMs;
    for (; (decided * 1_000) / LOAD <= nowMs; decided++) {
      decideOne(decided, startMs + (decided * 1_000) / LOAD).catch((thrown: unknown) => (fault ??= thrown));
    }
    if (swapped * SWAP_GAP_MS <= nowMs) replica.changed(record(WARM_UP_SWAPS + ++swapped));
    // eslint-disable-next-line no-await-in-loop -- a turn of the loop
    await turn();
  }
  await until('the last decisions', () => running === 0 || fault !== undefined);
  if (fault !== undefined) throw fault;
  if (replica.find('t', 'main').revision !== WARM_UP_SWAPS + SWAPS) throw new Error('a swap was refused');
  return { 'swap-mixed': mixed, 'swap-max': times.reduce((most, ms) => Math.max(most, ms), 0) };
}

const GARBAGE = ['', 'hello', '{}', '{"data":[{"tenant_id"', `{"data":"${'x'.repeat(200_000)}"}`];

/** How the store answers; `undefined`: as it should. */
const QUIRKS: Readonly<Record<'slow' | 'garbage', Quirk>> = {
  // Its client has stopped waiting long before.
  slow: () => true,
  garbage(_, response) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(GARBAGE[Math.floor(Math.random() * GARBAGE.length)]);
    return true;
  },
};

export async function measureLookups(): Promise<Figures> {
  await using site = await openStoreSite();
  const { store, isAway } = site;
  const lookups = async (): Promise<number> => {
    const times: number[] = [];
    const untilMs = performance.now() + LOOKUP_MS;
    for (let n = 0; performance.now() < untilMs; n++) {
      const wantedMs = performance.now();
      // eslint-disable-next-line no-await-in-loop -- a turn of the loop
      await turn();
      const { targets } = site.find(n);
      times.push(performance.now() - wantedMs);
      if (targets.length !== 10) throw new Error('another policy was found');
    }
    return percentile(
      times.toSorted((a, b) => a - b),
      0.95,
    );
  };
  const figures: Figures = { 'lookup-well': await lookups() };
  for (const [state, quirk] of Object.entries(QUIRKS)) {
    store.quirk = quirk;
    /* eslint-disable no-await-in-loop -- one state after the other */
    await until(`the store to be ${state}`, isAway, LONG_MS);
    figures[`lookup-${state}`] = await lookups();
    store.quirk = () => false;
    await until('the store to be back', () => !isAway(), LONG_MS);
    /* eslint-enable no-await-in-loop */
  }
  await store[Symbol.asyncDispose]();
  await until('the store to be down', isAway, LONG_MS);
  figures['lookup-down'] = await lookups();
  return figures;
}
