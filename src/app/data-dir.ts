// The folder under which a process keeps what outlives it: each part in a folder of its own.
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';

/** Undefined where nothing is to outlive the process. */
export const dataFolder = (
  { data_dir: dir }: Config,
  part: 'blobs' | 'bus' | 'policies' | 'worker',
): string | undefined => (dir === undefined ? undefined : join(dir, part));

/** Where policies and decisions are kept: by its own setting, else below the data folder. */
export const policyDataDir = (config: Config): string | undefined =>
  config.policy.data_dir ?? dataFolder(config, 'policies');
