// Where log lines go: collected for a moment, then one write, and the rest at the exit. A reader that does not keep up loses lines,
// counted and told, instead of filling the memory.
import type { LogSink } from '../telemetry/log.ts';

const PENDING_BYTES_MAX = 8_388_608;
const BATCH_MS = 20;
const BATCH_CHARS_MAX = 65_536;

export function openLogSink(stream: NodeJS.WriteStream): LogSink {
  let batch = '';
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (batch === '') return;
    const lines = batch;
    batch = '';
    if (stream.writableLength > PENDING_BYTES_MAX) {
      dropped += lines.split('\n').length - 1;
      return;
    }
    stream.write(dropped === 0 ? lines : `${lines}{"level":"warn","message":"log_lines_dropped","count":${dropped}}\n`);
    dropped = 0;
  };

  process.once('exit', flush);
  return {
    write(line) {
      batch += line;
      if (batch.length >= BATCH_CHARS_MAX) flush();
      else timer ??= setTimeout(flush, BATCH_MS);
    },
  };
}
