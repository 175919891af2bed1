// The block `test.echo`: what goes in comes out. It measures what everything around a block costs.
import { Type } from 'typebox';
import { payload } from '../../contracts/contract.ts';
import type { Block } from './block.ts';

const Any = Type.Unknown();

export const testEcho: Block = {
  type: 'test.echo',
  version: '1',
  class: 'io',
  scopes: [],
  effect: () => 'none',
  input: payload('beamline.block.test_echo.Input', '1', Any),
  output: payload('beamline.block.test_echo.Output', '1', Any),
  execute: async (input) => ({ output: input }),
};
