// The settings of the file for dead letters that the bus refuses (worker 16).
import { Type } from 'typebox';
import { integer, section, text } from './setting.ts';

export const dlqSchema = section({
  path: Type.Optional(
    text(
      'File, of this process only, for dead letters that the bus refuses, in a folder that not everybody may write to; routers and ledgers put their name behind it. Absent: such messages are delivered again.',
      { pattern: '^/.+[^/]$' },
    ),
  ),
  max_bytes: integer(104_857_600, 1_000_000, 10_000_000_000, 'Size of the file at which the next one is begun.'),
  total_max_bytes: integer(
    1_073_741_824,
    1_000_000,
    10_000_000_000,
    'Size of all files together, not below `dlq.max_bytes`; above it such messages are delivered again.',
  ),
});
