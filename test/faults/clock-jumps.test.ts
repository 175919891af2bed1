// The wall clocks of roles jump while they work: an hour ahead, and as far back. Jobs and calls that run then end once, in
// their time, and each attempt is billed once. What budgets do is in `ledger/budget-keeper.test.ts` and `app/budgets.test.ts`.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startNatsServer } from '../nats-server.ts';
import { until } from '../until.ts';
import { chat, jobOf, order } from './broker/requests.ts';
import { ROLES, type Roles, startRoles } from './broker/roles.ts';

const HOUR_MS = 3_600_000;
const ANSWER_MS = 2_000;
const ENDS_MS = 30_000;
const CLOCK = fileURLToPath(new URL('../skewed-clock.ts', import.meta.url));

const opened = new AsyncDisposableStack();
let folder: string;
let roles: Roles;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamline-clock-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const nats = opened.use(await startNatsServer());
  const env = { NODE_OPTIONS: `--import=${CLOCK}`, TEST_CLOCK_FILE: join(folder, 'clock') };
  roles = opened.use(await startRoles({ folder, natsUrl: nats.url, answerMs: ANSWER_MS, env }));
});
after(() => opened.disposeAsync());

type Role = (typeof ROLES)[number];
let jumps = 0;

/** Sets the wall clocks of some roles; resolves when they say so. */
async function setClocks(group: readonly Role[], offsetMs: number): Promise<void> {
  writeFileSync(join(folder, 'clock'), String(offsetMs));
  await Promise.all(
    group.map(async (role) => {
      const of = roles.processes[role];
      const before = of.output().length;
      process.kill(of.pid, 'SIGUSR2');
      await until(`the clock of the ${role}`, () => of.output().slice(before).includes(`clock_set ${offsetMs}`));
    }),
  );
}

interface Shown {
  readonly status: string;
  readonly attempts: readonly { readonly status: string }[];
}

const arrivals = (): number => readFileSync(roles.truth, 'utf8').split('\n').length - 1;

function rows(): readonly string[] {
  using database = new DatabaseSync(join(folder, 'ledger.sqlite'), { readOnly: true });
  return database
    .prepare('SELECT usage_id AS id FROM usage_events')
    .all()
    .map(({ id }) => String(id));
}

async function ended(id: string): Promise<Shown> {
  return until(
    `the end of ${id}`,
    async () => {
      const shown = JSON.parse((await jobOf(roles, id)).body) as Shown;
      return ['completed', 'failed', 'cancelled', 'expired'].includes(shown.status) && shown;
    },
    ENDS_MS,
  );
}

const GROUPS: readonly (readonly Role[])[] = [...ROLES.map((role) => [role]), ROLES];
for (const group of GROUPS) {
  for (const offsetMs of [HOUR_MS, -HOUR_MS]) {
    const who = group.length === 1 ? `the ${group[0]}` : 'every role';
    test(`work goes on when the clock of ${who} jumps by ${offsetMs / HOUR_MS} h, and back`, async () => {
      const begun = arrivals();
      const billed = rows().length;
      const ids: string[] = [];
      const orderOne = async (): Promise<void> => {
        const { status, body } = await order(roles, `clock-${jumps++}`);
        assert.equal(status, 202, body);
        ids.push((JSON.parse(body) as { readonly id: string }).id);
      };
      const answers: Promise<{ readonly status: number; readonly body: string }>[] = [];
      // Before the jump, after it, and after the jump back.
      for (const offset of [offsetMs, 0]) {
        // eslint-disable-next-line no-await-in-loop -- one after the other is the point
        await orderOne();
        answers.push(chat(roles));
        // eslint-disable-next-line no-await-in-loop -- as above
        await setClocks(group, offset);
        // eslint-disable-next-line no-await-in-loop -- as above
        await orderOne();
        answers.push(chat(roles));
        // eslint-disable-next-line no-await-in-loop -- as above
        await Promise.all([...ids.map((id) => ended(id)), ...answers]);
      }
      assert.deepEqual(
        (await Promise.all(answers)).map(({ status, body }) => (status === 200 ? 200 : body)),
        Array(answers.length).fill(200),
      );
      const jobs = await Promise.all(ids.map((id) => ended(id)));
      assert.deepEqual(
        jobs.map(({ status }) => status),
        Array(ids.length).fill('completed'),
      );
      // An attempt that runs while the clock of its router jumps may be over its time: then there is another one.
      const attempts = jobs.reduce((sum, job) => sum + job.attempts.length, 0);
      const calls = arrivals() - begun;
      assert.ok(calls >= ids.length + answers.length && calls <= attempts + answers.length, `${calls} calls`);
      await until('the rows', () => rows().length - billed >= calls);
      assert.ok(rows().length - billed <= attempts + answers.length, 'no attempt is billed twice');
    });
  }
}
