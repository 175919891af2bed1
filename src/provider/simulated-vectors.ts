// The vectors of a simulated model: a pure function of seed, model, dimensions and input, the same bits on every machine.

/** Of a request that names none. */
const DIMENSIONS = 256;

/** The entry of one input, as JSON. Both encodings hold the same 32-bit numbers; the vector has the length 1. */
export function vectorEntry(index: number, hash: number, asked: { dimensions: unknown; format: unknown }): string {
  const { dimensions, format } = asked;
  const vector = vectorOf(hash, typeof dimensions === 'number' ? dimensions : DIMENSIONS);
  const embedding = format === 'base64' ? `"${base64Of(vector)}"` : JSON.stringify([...vector]);
  return `{"object":"embedding","index":${index},"embedding":${embedding}}`;
}

/** Multiplication, addition and square root are exact by IEEE 754, so nothing here depends on a machine. */
function vectorOf(hash: number, dimensions: number): Float32Array {
  const vector = new Float64Array(dimensions);
  let state = hash | 1;
  let sum = 0;
  for (let n = 0; n < dimensions; n++) {
    // Xorshift with 32 bits, which never becomes 0.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const value = state / 2 ** 31;
    vector[n] = value;
    sum += value * value;
  }
  const length = Math.sqrt(sum);
  return Float32Array.from(vector, (value) => value / length);
}

/** Little-endian, as the clients of the format read it. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [n, value] of vector.entries()) bytes.writeFloatLE(value, n * 4);
  return bytes.toString('base64');
}
