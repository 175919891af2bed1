// Work that is put off to the end of the current turn of the event loop.
// A busy process reads every socket that is ready first and writes to its peers afterwards, all at once: one of them is
// woken for many writes instead of for each, and code that was just used is used again. An idle process loses nothing,
// because its turn ends at once.

let waiting: (() => void)[] = [];

/** Runs `run` after everything that is ready to be read now. In the order of the calls; a fault ends none but its own. */
export function atTurnEnd(run: () => void): void {
  if (waiting.push(run) === 1) setImmediate(runAll);
}

function runAll(): void {
  const runs = waiting;
  waiting = [];
  let done = 0;
  try {
    while (done < runs.length) runs[done++]?.();
  } finally {
    for (; done < runs.length; done++) atTurnEnd(runs[done] ?? nothing);
  }
}

const nothing = (): void => undefined;
