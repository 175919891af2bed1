// What a running router recorded is replayed from its directory alone: by its own revision, and by a candidate.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBeamline } from '../process.ts';

const REQUESTS = 12;

async function outputOf(args: readonly string[]): Promise<string> {
  const command = startBeamline(args);
  await command.ended;
  await command.stop();
  return command.output();
}

test('decisions are recorded while requests are served, and replayed on the command line', async () => {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-records-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const [dataDir, policies] = [join(folder, 'data'), join(folder, 'policies', 'default')];
  mkdirSync(policies, { recursive: true });
  writeFileSync(join(policies, 'split.yaml'), 'version: "2.0"\nweights: { alder: 50, birch: 50 }\n');
  const provider = (id: string) => ({ id, type: 'sim', models: { 'sim-small': {} } });
  const config = join(folder, 'beamline.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      policy: { dir: join(folder, 'policies'), data_dir: dataDir },
      providers: { list: [provider('alder'), provider('birch')] },
    }),
  );
  const up = startBeamline(['up', '--port', '0', '--config', config]);
  opened.defer(() => up.stop());
  await up.until(/Ctrl-C drains and stops/);
  const [, url = ''] = /^ {2}curl (\S+)/m.exec(up.output()) ?? [];
  const key = /Bearer (\S+)'/.exec(up.output())?.[1] ?? '';
  const answers = await Promise.all(
    Array.from({ length: REQUESTS }, () =>
      fetch(url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
          'x-beamline-policy': 'split',
        },
        body: JSON.stringify({ model: 'sim-small', messages: [{ role: 'user', content: 'a secret of mine' }] }),
      }),
    ),
  );
  assert.deepEqual(
    answers.map(({ status }) => status),
    answers.map(() => 200),
  );
  await Promise.all(answers.map((answer) => answer.text()));
  await up.stop();

  const replay = (file: string): Promise<string> =>
    outputOf(['policy', 'replay', '--policy', file, '--from', dataDir, '--json']);
  const same = JSON.parse(await replay(join(policies, 'split.yaml'))) as Record<string, unknown>;
  assert.deepEqual([same['records'], same['same'], same['changed'], same['mismatch']], [REQUESTS, REQUESTS, 0, 0]);

  const candidate = join(folder, 'candidate.yaml');
  writeFileSync(candidate, 'version: "2.0"\nweights: { alder: 100, birch: 0 }\n');
  const report = await replay(candidate);
  const moved = JSON.parse(report) as Record<string, unknown>;
  assert.equal(Number(moved['same']) + Number(moved['changed']), REQUESTS);
  assert.doesNotMatch(report, /a secret of mine/);
});
