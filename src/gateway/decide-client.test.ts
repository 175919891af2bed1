import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressIn } from '../contracts/contract.ts';
import { decode, encode } from '../contracts/codec.ts';
import { decideV2 } from '../contracts/decide.ts';
import { frames } from '../contracts/frames.ts';
import { requestOf } from './decide-client.ts';
import { BODY_DEPTH_MAX } from './read-body.ts';
import { ORDER } from './relay-fixture.ts';

test('the deepest body that the edge accepts is a message that every bus carries', () => {
  const levels = BODY_DEPTH_MAX - 1;
  const body: unknown = JSON.parse(`{"messages":${'['.repeat(levels)}${']'.repeat(levels)}}`);
  const request = requestOf(
    { ...ORDER, body: body as Readonly<Record<string, unknown>> },
    {
      deliverTo: addressIn(frames, 'beamline.exec.v2.frames.gw-1.0'),
      timeLeftMs: 1,
      isReask: false,
      tenant: undefined,
    },
  );
  assert.deepEqual(decode(decideV2.request, encode(decideV2.request, request)), request);
});
