// Messages of version 1 as they were when it was frozen: what was read then is read for ever, and what was refused then
// is refused. The files never change; new cases are new files.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import Ajv2020 from 'ajv/dist/2020.js';
import type { Bus } from '../../src/bus/bus.ts';
import { openGround } from '../../src/bus/conformance-fixture.ts';
import { openNatsBus } from '../../src/bus/nats.ts';
import { at } from '../../src/contracts/contract.ts';
import { CONTRACTS, PAYLOADS } from '../../src/contracts/registry.ts';
import { decideV1 } from '../../src/contracts/decide.ts';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { type Headers, RawNats } from './raw-nats.ts';

const FOLDER = 'contracts/golden/v1';

interface Golden {
  readonly schema: string;
  readonly subject: string;
  readonly cases: readonly {
    readonly name: string;
    readonly valid: boolean;
    readonly headers?: Headers;
    readonly body: object;
  }[];
}

const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
const golden = names.map((name) => JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) as Golden);
const schemaAt = (folder: string, schema: string): object =>
  JSON.parse(readFileSync(`contracts/${folder}/${schema}.json`, 'utf8')) as object;

test('the golden messages are those that were recorded', () => {
  const sums = names.map((name) => {
    const digest = createHash('sha256')
      .update(readFileSync(`${FOLDER}/${name}`))
      .digest('hex');
    return `${digest}  ${name}\n`;
  });
  assert.equal(sums.join(''), readFileSync(`${FOLDER}/SHA256SUMS`, 'utf8'));
  assert.ok(names.length >= 7);
});

for (const { schema, cases } of golden) {
  const payload = PAYLOADS.find(({ id, version }) => `${id}@${version}` === schema);
  const frozen = readdirSync('contracts/frozen').includes(`${schema}.json`) ? ['frozen'] : [];
  for (const { name, valid, body } of cases) {
    test(`${schema} ${valid ? 'reads' : 'refuses'} ${name}`, () => {
      assert.equal(payload?.check(body), valid, payload?.fault(body));
      for (const folder of ['schemas', ...frozen]) {
        const validate = new Ajv2020.Ajv2020({ strict: false }).compile(schemaAt(folder, schema));
        assert.equal(validate(body), valid, `${folder}: ${JSON.stringify(validate.errors)}`);
      }
    });
  }
}

const ground = openGround();
let server: NatsServer;
let bus: Bus;
let raw: RawNats;
before(async () => {
  server = await startNatsServer();
  bus = await openNatsBus({ url: server.url, name: 'golden', ...ground });
  raw = await RawNats.open(server.port);
});
after(async () => {
  await raw[Symbol.asyncDispose]();
  await bus[Symbol.asyncDispose]();
  await server.stop();
  ground[Symbol.dispose]();
});

const isBrought = (body: unknown, { cases }: Golden): boolean =>
  cases.some((one) => one.valid && isDeepStrictEqual(one.body, body));

for (const one of golden.filter(({ schema }) => schema !== 'beamline.router.DecideResponse@1')) {
  const { subject, cases } = one;
  test(`${subject} brings each golden message over a real server, with its headers or without`, async () => {
    const heard: unknown[] = [];
    const contract = CONTRACTS.find(({ template }) => template === subject);
    assert.ok(contract);
    if (contract.class === 'request_reply') {
      await using _serving = bus.serve(at(decideV1), {}, (request) => {
        heard.push(request);
        return { ok: true, context: { request_id: request.request_id } };
      });
      await bus.flush();
      for (const { body, headers, valid, name } of cases) {
        // eslint-disable-next-line no-await-in-loop -- answers are read in their order
        const reply = JSON.parse((await raw.request(subject, JSON.stringify(body), headers)).body) as { ok: boolean };
        assert.equal(reply.ok, valid, name);
      }
    } else {
      // Each has its own type of message; what is heard is compared as it is.
      const listened = { contract, subject } as never;
      await using _listening = bus.subscribe(listened, {}, (message) => void heard.push(message));
      await bus.flush();
      for (const { body, headers } of cases) {
        raw.publish(subject, JSON.stringify(body), headers === undefined ? {} : { headers });
      }
      await raw.flush();
      await bus.flush();
    }
    assert.equal(heard.length, cases.filter(({ valid }) => valid).length);
    assert.ok(heard.every((body) => isBrought(body, one)));
  });
}
