// Masks what looks like a credential or an address in a text that leaves its room: logs, errors, dead letters.

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/\bblk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]+/g, 'blk_***'],
  [/\b(?:sk|rk|pk|gsk|xai|key)[-_][0-9A-Za-z*_-]{6,}/g, '***'],
  [/\bAIza[0-9A-Za-z_-]{10,}/g, '***'],
  [/\beyJ[0-9A-Za-z_-]{5,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*/g, '***'],
  [/\b(Bearer|Basic)\s+[^\s"',;]+/gi, '$1 ***'],
  [/\b[a-z][a-z0-9+.-]*:\/\/[^\s"'<>]+/gi, '<address>'],
];

export const redactText = (text: string): string =>
  PATTERNS.reduce((masked, [pattern, mask]) => masked.replace(pattern, mask), text);
