// Reads CSV (RFC 4180) strictly, one record at a time: what two readers might take for two things is refused.
import { lineFault, type NumberedLine } from './numbered-lines.ts';

export interface CsvRecord {
  /** Where it begins. */
  readonly line: number;
  readonly cells: readonly string[];
}

const CELL = /(?:"(?<quoted>[^"]*(?:""[^"]*)*)"|(?<plain>[^",\r]*))(?<end>,|$)/y;

/** Empty lines are left out. Throws `validation_failed`, reason `csv_invalid` or `line_too_long`. */
export function* csvRecords(lines: Iterable<NumberedLine>, charsMax: number): Generator<CsvRecord> {
  let open: NumberedLine | undefined;
  for (const { line, text } of lines) {
    const record: NumberedLine = open === undefined ? { line, text } : { ...open, text: `${open.text}\n${text}` };
    if (record.text.length > charsMax) {
      throw lineFault(
        record.line,
        'line_too_long',
        `the record is longer than ${charsMax} characters: is a quote open?`,
      );
    }
    open = isOpen(record.text) ? record : undefined;
    if (open !== undefined) continue;
    const whole = record.text.replace(/\r$/, '');
    if (whole !== '') yield { line: record.line, cells: cellsOf(record.line, whole) };
  }
  if (open !== undefined) throw lineFault(open.line, 'csv_invalid', 'a quote is not closed');
}

/** A newline belongs to a cell while an odd number of quotes is before it. */
function isOpen(text: string): boolean {
  let quotes = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) quotes++;
  return quotes % 2 === 1;
}

function cellsOf(line: number, text: string): readonly string[] {
  const cells: string[] = [];
  CELL.lastIndex = 0;
  for (;;) {
    const { quoted, plain = '', end } = CELL.exec(text)?.groups ?? {};
    if (end === undefined) {
      throw lineFault(
        line,
        'csv_invalid',
        `cell ${cells.length + 1} has a quote or a carriage return in a wrong place`,
      );
    }
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '') return cells;
  }
}
