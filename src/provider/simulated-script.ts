// What a simulated model does: settings by model name, checked once, with `default` for every other name.
// Scripts are configuration; no request can script itself.
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { BeamlineError } from '../core/errors.ts';

const closed = { additionalProperties: false };
const Ms = Type.Integer({ minimum: 0, maximum: 3_600_000 });
const Share = Type.Number({ minimum: 0, maximum: 1 });

const When = Type.Union([
  Type.Literal('always'),
  // The nth request of the model, from 1.
  Type.Object({ nth: Type.Integer({ minimum: 1 }) }, closed),
  // A share of the requests, drawn from the seed and the request's number.
  Type.Object({ ratio: Share }, closed),
]);

const Refusal = Type.Object(
  {
    when: When,
    status: Type.Integer({ minimum: 300, maximum: 599 }),
    body: Type.Optional(Type.Unknown()),
    retry_after: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  },
  closed,
);

const at = { at_chunk: Type.Integer({ minimum: 0 }) };
const StreamFault = Type.Union([
  Type.Object({ ...at, kind: Type.Literal('stall_ms'), ms: Ms }, closed),
  Type.Object(
    {
      ...at,
      kind: Type.Enum(['truncate', 'reset', 'garbage', 'error_event', 'duplicate_done']),
    },
    closed,
  ),
]);

const Profile = Type.Object(
  {
    seed: Type.Optional(Type.Integer()),
    first_chunk_ms: Type.Optional(Ms),
    // 0 means as fast as possible.
    tokens_per_s: Type.Optional(Type.Number({ minimum: 0 })),
    output_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    // Instead of `output_tokens`.
    answer_bytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_000_000 })),
    // Content events of a stream; one for each token if absent.
    chunks: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    errors: Type.Optional(Type.Array(Refusal, { maxItems: 64 })),
    stream_faults: Type.Optional(Type.Array(StreamFault, { maxItems: 64 })),
    usage: Type.Optional(Type.Enum(['exact', 'absent', 'inconsistent'])),
    cached_share: Type.Optional(Share),
    reasoning_share: Type.Optional(Share),
    tool_call: Type.Optional(
      Type.Object(
        { name: Type.Optional(Type.String({ minLength: 1 })), arguments: Type.Optional(Type.Unknown()) },
        closed,
      ),
    ),
    finish_reason: Type.Optional(Type.String({ minLength: 1 })),
  },
  closed,
);

const script = Compile(Type.Record(Type.String({ minLength: 1 }), Profile));

/** How one simulated model behaves. */
export type SimulatedProfile = Static<typeof Profile>;
/** Profiles by model name; `default` serves the names that are not listed. */
export type SimulatedScript = Readonly<Record<string, SimulatedProfile>>;

/** Throws `validation_failed` with the path of the first fault. */
export function parseScript(value: unknown): SimulatedScript {
  if (script.Check(value)) return value;
  const [fault] = script.Errors(value);
  const path = fault?.instancePath ?? '';
  const message = fault?.message ?? 'must be a script';
  throw new BeamlineError('validation_failed', `the simulated script: ${path} ${message}`, {
    details: { fields: [{ path, code: 'invalid', message }] },
  });
}
