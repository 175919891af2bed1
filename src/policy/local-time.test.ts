import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTimeZone, localTime } from './local-time.ts';

const CASES: readonly (readonly [at: string, timeZone: string, shown: string])[] = [
  ['2026-11-21T17:30:59Z', 'UTC', '2026-11-21 17:30 6'],
  ['2026-11-22T00:00:00Z', 'UTC', '2026-11-22 0:0 7'],
  ['2026-11-21T17:30:00Z', 'Europe/Berlin', '2026-11-21 18:30 6'],
  ['2026-07-01T22:15:00Z', 'Europe/Berlin', '2026-07-02 0:15 4'],
  ['2026-03-29T00:59:00Z', 'Europe/Berlin', '2026-03-29 1:59 7'],
  ['2026-03-29T01:00:00Z', 'Europe/Berlin', '2026-03-29 3:0 7'],
  ['2026-01-01T04:00:00Z', 'America/New_York', '2025-12-31 23:0 3'],
  ['2026-11-21T17:30:00Z', 'Asia/Kathmandu', '2026-11-21 23:15 6'],
  ['2024-02-29T12:00:00Z', 'Pacific/Kiritimati', '2024-03-01 2:0 5'],
];

for (const [at, timeZone, shown] of CASES) {
  test(`${at} in ${timeZone} is ${shown}`, () => {
    const { date, hour, minute, weekday } = localTime(Date.parse(at), timeZone);
    assert.equal(`${date} ${hour}:${minute} ${weekday}`, shown);
  });
}

test('names of the IANA list are time zones, and nothing else is', () => {
  for (const name of ['UTC', 'Europe/Berlin', 'America/Argentina/Ushuaia', 'Etc/GMT+5']) {
    assert.equal(isTimeZone(name), true, name);
  }
  for (const name of ['', 'Mars/Olympus', '+01:00', 'Europe/Berlin ', 'local', 'constructor']) {
    assert.equal(isTimeZone(name), false, name);
  }
});
