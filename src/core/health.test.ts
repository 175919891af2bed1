import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Checks, healthPage, mustHold, shouldHold, summaryOf } from './health.ts';

const ok = mustHold(true, 'never told');
const warn = shouldHold(false, 'busy');
const fail = mustHold(false, 'away');

// The checks, and what the two pages say of them.
const CASES: readonly (readonly [checks: Checks, http: number, ready: string, health: string])[] = [
  [{}, 200, 'ready', 'healthy'],
  [{ bus: ok, load: ok }, 200, 'ready', 'healthy'],
  [{ bus: ok, load: warn }, 200, 'ready', 'degraded'],
  [{ bus: fail, load: warn }, 503, 'not_ready', 'unhealthy'],
];

for (const [checks, http, ready, health] of CASES) {
  test(`${JSON.stringify(checks)} is ${ready} and ${health}`, () => {
    const pages = [healthPage('ready', checks, 0), healthPage('health', checks, 0)];
    assert.deepEqual(
      pages.map((page) => [page.http, page.document.status]),
      [
        [http, ready],
        [http, health],
      ],
    );
    assert.deepEqual(pages[0]?.document, { status: ready, timestamp: '1970-01-01T00:00:00.000Z', checks });
  });
}

test('a summary is the worst of all, and names what is not well', () => {
  assert.deepEqual(summaryOf({ bus: ok }), { status: 'ok' });
  assert.deepEqual(summaryOf({ bus: ok, load: warn }), { status: 'warn', message: 'load: busy' });
  assert.deepEqual(summaryOf({ bus: fail, load: warn }), { status: 'fail', message: 'bus: away; load: busy' });
});
