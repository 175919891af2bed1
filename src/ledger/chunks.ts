// Many rows in few statements of few lengths, so that each is prepared once.
const LENGTHS = [100, 10, 1] as const;

/** Calls `work` with 100, 10 or 1 items at a time, in order, until all were given. */
export async function inChunks<T>(items: readonly T[], work: (chunk: readonly T[]) => Promise<void>): Promise<void> {
  let at = 0;
  for (const length of LENGTHS) {
    while (items.length - at >= length) {
      // eslint-disable-next-line no-await-in-loop -- in their order, on one connection
      await work(items.slice(at, at + length));
      at += length;
    }
  }
}

/** The statement for each length, made once: a text that is made anew would be looked up by all its characters. */
export function byLength(statementOf: (length: number) => string): (length: number) => string {
  const made = new Map<number, string>();
  return (length) => {
    let statement = made.get(length);
    if (statement === undefined) made.set(length, (statement = statementOf(length)));
    return statement;
  };
}
