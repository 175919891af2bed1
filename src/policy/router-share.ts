// The routers that hold a limit together. Each keeps its part, so that their sum never exceeds it (policy 2, 9.1).

/** How many share, and the place of this one among them, from 0. */
export interface RouterShare {
  /** At least 1. */
  readonly count: number;
  readonly rank: number;
}

export const ALONE: RouterShare = Object.freeze({ count: 1, rank: 0 });

/** In whole ones that add up to the limit: the first routers hold one more where it does not divide. */
export const partOf = (limit: number, { count, rank }: RouterShare): number =>
  Math.floor(limit / count) + (rank < limit % count ? 1 : 0);
