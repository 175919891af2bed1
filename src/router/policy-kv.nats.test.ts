import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openGround, until } from '../bus/conformance-fixture.ts';
import { openNatsBus } from '../bus/nats.ts';
import { startNatsServer } from '../../test/nats-server.ts';
import { markOf, marked, writeOf } from './policy-fixture.ts';
import { openPolicyRouter, refusedWith, testPolicyKv } from './policy-kv-fixture.ts';

async function openAll() {
  const server = await startNatsServer();
  const ground = openGround();
  const bus = await openNatsBus({ url: server.url, name: 'bus', ...ground });
  const peer = await openNatsBus({ url: server.url, name: 'peer', ...ground, telemetry: openGround().telemetry });
  return {
    server,
    bus,
    peer,
    async [Symbol.asyncDispose]() {
      await Promise.all([bus.drain(), peer.drain()]);
      await server.stop();
      ground[Symbol.dispose]();
    },
  };
}

testPolicyKv('NATS', openAll);

test('what was deleted stays deleted after the server was away, and decisions go on meanwhile', async () => {
  await using opened = await openAll();
  const { server, bus, peer } = opened;
  await using ours = await openPolicyRouter(bus);
  await using theirs = await openPolicyRouter(peer);
  await ours.store.put(writeOf('test'), marked('one'));
  await ours.store.put(writeOf('gone'), marked('two'));
  await ours.store.delete(writeOf('gone'));
  const both = (holds: (router: typeof ours) => boolean): boolean => [ours, theirs].every(holds);
  const isKnown = ({ replica }: typeof ours): boolean =>
    markOf(replica, 'test') === 'one' && replica.recordsOf('acme').some(({ deleted }) => deleted);
  await until('both know', () => both(isKnown));

  await server.kill();
  await until('both miss it', () => both(({ lines }) => lines.join('').includes('policy_source_unreachable')));
  assert.ok(both(isKnown));
  await refusedWith('unavailable', ours.store.put(writeOf('test'), marked('lost')));
  await refusedWith('unavailable', ours.store.delete(writeOf('test')));
  assert.equal(markOf(ours.replica, 'test'), 'one');

  await server.restart();
  await until('both found it', () => both(({ lines }) => lines.join('').includes('policy_source_reached')));
  assert.ok(both(isKnown));
  assert.ok(both(({ replica }) => markOf(replica, 'gone') === 'policy_not_found'));
  await until('it takes writes again', () =>
    ours.store.put(writeOf('test'), marked('back')).then(
      () => true,
      () => false,
    ),
  );
  await until('both see it', () => both(({ replica }) => markOf(replica, 'test') === 'back'));
});

test('a change that was made while a router was cut off arrives with the list', async () => {
  await using opened = await openAll();
  const { server, bus, peer } = opened;
  await using ours = await openPolicyRouter(bus);
  await ours.store.put(writeOf('test'), marked('one'));
  await ours.store.put(writeOf('gone'), marked('two'));
  await until('it is there', () => ours.replica.idsOf('acme').size === 2);
  await server.restart();
  await using theirs = await openPolicyRouter(peer);
  const done = (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => true,
      () => false,
    );
  await until('the other router writes', () => done(theirs.store.put(writeOf('test', 1), marked('changed'))));
  await until('the other router deletes', () => done(theirs.store.delete(writeOf('gone', 1))));
  await until('ours follows', () => markOf(ours.replica, 'test') === 'changed');
  await until('ours forgets', () => markOf(ours.replica, 'gone') === 'policy_not_found');
});

test('a router that starts before its server finds the policies later', async () => {
  await using opened = await openAll();
  const { server, bus, peer } = opened;
  await using first = await openPolicyRouter(bus);
  await first.store.put(writeOf('test'), marked('one'));
  await server.kill();
  await until('it is gone', () => peer.state === 'reconnecting');
  await using late = await openPolicyRouter(peer);
  assert.equal(late.replica.isReady, false);
  assert.equal(markOf(late.replica, 'default'), 'unavailable');
  await server.restart();
  await until('it is found', () => markOf(late.replica, 'test') === 'one');
});
