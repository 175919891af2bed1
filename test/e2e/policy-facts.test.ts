// What a policy hears of a caller through the whole of `beamline up`: the scopes of the key and the size of the body.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBeamline } from '../process.ts';

const refusing = (id: string, when: string): object => ({
  id,
  when,
  // eslint-disable-next-line unicorn/no-thenable -- the word of the language
  then: { reject: { code: 'forbidden', message: id } },
});

test('rules may ask for the scopes of the key, the size of the body and that of the task, of requests and of jobs', async () => {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-facts-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const policies = join(folder, 'default');
  mkdirSync(policies, { recursive: true });
  const rules = [
    refusing('unscoped', "!('ai:invoke' in request.scopes)"),
    refusing('small', 'task.size_bytes < 1000 || request.size_bytes < task.size_bytes'),
  ];
  writeFileSync(
    join(policies, 'told.json'),
    JSON.stringify({ version: '2.0', providers: [{ name: 'alder', weight: 1 }], rules }),
  );
  const config = join(folder, 'beamline.json');
  const list = [{ id: 'alder', type: 'sim', models: { 'sim-small': {} } }];
  writeFileSync(config, JSON.stringify({ policy: { dir: folder }, providers: { list } }));
  const up = startBeamline(['up', '--port', '0', '--config', config]);
  opened.defer(() => up.stop());
  await up.until(/Ctrl-C drains and stops/);
  const [, url = ''] = /^ {2}curl (\S+)/m.exec(up.output()) ?? [];
  const [, key = ''] = /Bearer (\S+)'/.exec(up.output()) ?? [];
  const send = async (to: string, body: object): Promise<number> => {
    const answer = await fetch(to, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-beamline-policy': 'told' },
      body: JSON.stringify(body),
    });
    await answer.text();
    return answer.status;
  };
  const chat = (content: string): object => ({ model: 'sim-small', messages: [{ role: 'user', content }] });
  const ask = (content: string): Promise<number> => send(url, chat(content));
  // The note makes the body large, and not the task.
  const order = (content: string): Promise<number> =>
    send(new URL('/api/v1/jobs', url).href, {
      task: { type: 'ai.chat', payload: chat(content) },
      metadata: { note: 'n'.repeat(1_000) },
    });
  assert.deepEqual([await ask('x'.repeat(1_000)), await ask('x')], [200, 403]);
  assert.deepEqual([await order('x'.repeat(1_000)), await order('x')], [202, 403]);
});
