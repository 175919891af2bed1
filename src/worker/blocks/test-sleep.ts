// The block `test.sleep`: waits, with an effect that the caller names, so that crashes and cancels can be tried on it.
import { Type } from 'typebox';
import { payload } from '../../contracts/contract.ts';
import type { Block } from './block.ts';

const Input = Type.Object({
  sleep_ms: Type.Integer({ minimum: 0, maximum: 600_000 }),
  effect: Type.Optional(Type.Enum(['none', 'idempotent', 'external'])),
  output: Type.Optional(Type.Unknown()),
});
type Input = Type.Static<typeof Input>;
const Output = Type.Object({ slept_ms: Type.Integer({ minimum: 0 }), output: Type.Optional(Type.Unknown()) });
type Output = Type.Static<typeof Output>;

export const testSleep: Block<Input, Output> = {
  type: 'test.sleep',
  version: '1',
  class: 'io',
  scopes: [],
  effect: ({ effect = 'none' }) => effect,
  input: payload('beamline.block.test_sleep.Input', '1', Input),
  output: payload('beamline.block.test_sleep.Output', '1', Output),
  async execute({ sleep_ms, output }, { timers, signal }) {
    await timers.sleep(sleep_ms, signal);
    return { output: { slept_ms: sleep_ms, ...(output === undefined ? {} : { output }) } };
  },
};
