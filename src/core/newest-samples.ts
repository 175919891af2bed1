// The newest samples of a measure, and the percentiles of all that are in several such memories.

const SAMPLES_MAX = 100;

export class NewestSamples {
  readonly #samples = new Float32Array(SAMPLES_MAX);
  #added = 0;

  add(sample: number): void {
    this.#samples[this.#added % SAMPLES_MAX] = sample;
    this.#added++;
  }

  get all(): Float32Array {
    return this.#samples.subarray(0, Math.min(this.#added, SAMPLES_MAX));
  }
}

/** The smallest sample that `share` of all are within; undefined below `least` samples. */
export function percentileOf(of: readonly NewestSamples[], share: number, least: number): number | undefined {
  const sorted = of.flatMap(({ all }) => [...all]).sort((a, b) => a - b);
  return sorted.length < least ? undefined : sorted[Math.ceil(sorted.length * share) - 1];
}
