// Reads a statement as the words that a database reads, so that nothing hides in a text, a comment or a quoted name.
// What only some databases read, or read in their own way, is unreadable here.

export type SqlToken =
  /** Lower case; a quoted name is one too. */
  | { readonly kind: 'word'; readonly text: string; readonly isQuoted: boolean }
  | { readonly kind: 'text' | 'number' | 'parameter' | 'end' }
  | { readonly kind: 'sign'; readonly text: string };

type Rule = readonly [pattern: RegExp, make: (text: string) => SqlToken | 'space' | undefined];

const word = (text: string): SqlToken => ({ kind: 'word', text: text.toLowerCase(), isQuoted: false });
const quoted = (text: string): SqlToken => ({ kind: 'word', text: text.slice(1, -1).toLowerCase(), isQuoted: true });

const RULES: readonly Rule[] = [
  [/[ \t\r\n\f]+/y, () => 'space'],
  [/--[^\n]*/y, () => 'space'],
  // A comment in a comment means two things to two databases.
  [/\/\*(?:(?!\*\/|\/\*)[\s\S])*\*\//y, () => 'space'],
  // With a letter before it a text has escapes, or is a name.
  [/[A-Za-z_][A-Za-z0-9_]*(?=')/y, (text) => (text.toLowerCase() === 'x' ? 'space' : undefined)],
  [/'(?:[^'\\\0]|'')*'/y, () => ({ kind: 'text' })],
  [/"(?:[^"\0])+"/y, quoted],
  [/[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*/y, word],
  [/(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_$])/y, () => ({ kind: 'number' })],
  [/\?(?![0-9?|&])/y, () => ({ kind: 'parameter' })],
  [/;/y, () => ({ kind: 'end' })],
  [/::|\|\||<=|>=|<>|!=|==|<<|>>|\*(?!\/)|\/(?!\*)|&(?!['"])|[-+%=<>(),.~|]/y, (text) => ({ kind: 'sign', text })],
];

/** Undefined for a text that cannot be read in one way only. */
export function sqlTokens(text: string): readonly SqlToken[] | undefined {
  const tokens: SqlToken[] = [];
  let at = 0;
  while (at < text.length) {
    const found = next(text, at);
    if (found === undefined) return undefined;
    at = found.end;
    if (found.token !== 'space') tokens.push(found.token);
  }
  return tokens;
}

/** The statement with `$1`, `$2` for its values, as only some databases have them; it can be read. */
export function withNumbers(text: string): string {
  let numbered = '';
  let count = 0;
  for (let at = 0; at < text.length;) {
    const found = next(text, at);
    if (found === undefined) return text;
    const isParameter = found.token !== 'space' && found.token.kind === 'parameter';
    numbered += isParameter ? `$${++count}` : text.slice(at, found.end);
    at = found.end;
  }
  return numbered;
}

function next(text: string, at: number): { readonly token: SqlToken | 'space'; readonly end: number } | undefined {
  for (const [pattern, make] of RULES) {
    pattern.lastIndex = at;
    const [read] = pattern.exec(text) ?? [];
    if (read === undefined) continue;
    const token = make(read);
    return token === undefined ? undefined : { token, end: at + read.length };
  }
  return undefined;
}
