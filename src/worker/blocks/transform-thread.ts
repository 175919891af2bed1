// The thread of the block `transform`: evaluates what it is sent, and nothing else.
import { parentPort } from 'node:worker_threads';
import { type Transformed, transform } from '../../policy/cel-transform.ts';

export interface TransformRequest {
  readonly expression: string;
  /** JSON. */
  readonly data: string;
}

/** The value as JSON: as text it crosses threads at the price of its length. */
export type TransformAnswer =
  | Exclude<Transformed, { kind: 'value' }>
  | { readonly kind: 'value'; readonly json: string };

function written(value: unknown): TransformAnswer {
  try {
    return { kind: 'value', json: JSON.stringify(value ?? null) };
  } catch {
    return { kind: 'failed', code: 'too_large', message: 'the value is too large to be written' };
  }
}

parentPort?.on('message', ({ expression, data }: TransformRequest) => {
  const made = transform(expression, JSON.parse(data));
  parentPort?.postMessage(made.kind === 'value' ? written(made.value) : made);
});
parentPort?.postMessage('ready');
