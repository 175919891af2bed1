// Which versions of our own roles may work side by side (operations 19.3): same major, at most one minor apart.

/** A version of ours, `major.minor.patch`; anything after it is ignored. */
const VERSION = /^(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+].*)?$/;

/** Whether two processes may serve together; a text that is no version fits nothing but itself. */
export function isCompatible(own: string, other: string): boolean {
  if (own === other) return true;
  const [, ownMajor, ownMinor] = VERSION.exec(own) ?? [];
  const [, otherMajor, otherMinor] = VERSION.exec(other) ?? [];
  if (ownMajor === undefined || ownMajor !== otherMajor) return false;
  return Math.abs(Number(ownMinor) - Number(otherMinor)) <= 1;
}
