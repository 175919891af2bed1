// Counters and histograms of running processes, read from their pages of metrics: what grew between two readings.
import { get } from 'node:http';
import { BeamlineError } from '../core/errors.ts';

const PAGE_BYTES_MAX = 16_777_216;
const WAIT_MS = 10_000;
const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

type Where = Readonly<Record<string, string>>;

/** The samples of a page in the Prometheus text format; lines that are none are passed over. */
export const samplesOf = (page: string): Sample[] =>
  page.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = LINE.exec(line) ?? [];
    if (name === undefined) return [];
    const named = [...labels.matchAll(LABEL)].map(([, label = '', text = '']) => [label, text]);
    return [{ name, labels: Object.fromEntries(named), value: Number(value) }];
  });

/** The sum of a metric over all processes and all labels that are not given. */
export const sumOf = (samples: readonly Sample[], name: string, where: Where = {}): number =>
  samples.reduce((sum, sample) => (isOf(sample, name, where) ? sum + sample.value : sum), 0);

/**
 * The value below which `share` of the observations of a histogram lie, by the upper bounds of its buckets and
 * straight between them; undefined without observations. What lies above the last bound counts as that bound.
 */
export function quantileOf(
  grown: (bound: string) => number,
  bounds: readonly number[],
  share: number,
): number | undefined {
  const total = grown('+Inf');
  if (total <= 0) return undefined;
  const rank = total * share;
  let below = 0;
  let lower = 0;
  for (const bound of bounds) {
    const count = grown(String(bound));
    if (count >= rank) return lower + ((bound - lower) * (rank - below)) / Math.max(1, count - below);
    below = count;
    lower = bound;
  }
  return lower;
}

/** Throws `unavailable` for an address that does not answer with 200. */
export const readPage = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new BeamlineError('unavailable', `${url}: ${why}`));
    const request = get(url, { timeout: WAIT_MS }, (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        return fail(`answered ${response.statusCode}`);
      }
      let page = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        page += text;
        if (page.length > PAGE_BYTES_MAX) request.destroy(new Error('the page is too large'));
      });
      response.once('end', () => resolve(page));
    });
    request.once('timeout', () => request.destroy(new Error(`no answer in ${WAIT_MS} ms`)));
    request.once('error', ({ message }) => fail(message));
  });

const isOf = (sample: Sample, name: string, where: Where): boolean =>
  sample.name === name && Object.entries(where).every(([label, text]) => sample.labels[label] === text);
