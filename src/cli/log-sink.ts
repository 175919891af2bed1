// Where log lines go: collected for one turn of the loop, then one write. A reader that does not keep up loses lines,
// counted and told, instead of filling the memory.
import type { LogSink } from '../telemetry/log.ts';

const PENDING_BYTES_MAX = 8_388_608;

export function openLogSink(stream: NodeJS.WriteStream): LogSink {
  let batch = '';
  let dropped = 0;

  const flush = (): void => {
    const lines = batch;
    batch = '';
    if (stream.writableLength > PENDING_BYTES_MAX) {
      dropped += lines.split('\n').length - 1;
      return;
    }
    stream.write(dropped === 0 ? lines : `${lines}{"level":"warn","message":"log_lines_dropped","count":${dropped}}\n`);
    dropped = 0;
  };

  return {
    write(line) {
      if (batch === '') setImmediate(flush);
      batch += line;
    },
  };
}
