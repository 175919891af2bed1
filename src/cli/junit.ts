// A report of cases as JUnit XML, which every CI reads.

export interface JunitCase {
  readonly name: string;
  /** Absent if the case passed. */
  readonly failure: string | undefined;
}

export function junitReport(suite: string, cases: readonly JunitCase[]): string {
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const body = cases.map(({ name, failure }) => {
    const head = `    <testcase classname="${escaped(suite)}" name="${escaped(name)}"`;
    return failure === undefined
      ? `${head}/>`
      : `${head}>\n      <failure message="${escaped(failure.split('\n')[0] ?? '')}">${escaped(failure)}</failure>\n    </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites tests="${cases.length}" failures="${failures}">`,
    `  <testsuite name="${escaped(suite)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="0">`,
    ...body,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** XML has no way to say most control characters. */
const escaped = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (sign) => ENTITIES[sign] ?? sign).replaceAll(/[^\t\n\r -\uD7FF\uE000-\uFFFD]/gu, '\uFFFD');
