// What a simulated model does: settings by model name, checked once, with `default` for every other name.
// Scripts are configuration; no request can script itself.
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { BeamlineError } from '../core/errors.ts';

const closed = { additionalProperties: false };
const MS = { minimum: 0, maximum: 3_600_000 };
const Ms = Type.Integer(MS);
/** A number, or one that is drawn from the seed. */
const drawn = (one: { readonly minimum: number; readonly maximum?: number }, isWhole = false) => {
  const value = isWhole ? Type.Integer(one) : Type.Number(one);
  return Type.Union([
    value,
    Type.Object({ dist: Type.Literal('fixed'), value }, closed),
    Type.Object({ dist: Type.Literal('uniform'), min: value, max: value }, closed),
    // `max` cuts the long tail.
    Type.Object(
      { dist: Type.Literal('lognormal'), median: value, sigma: Type.Number({ minimum: 0, maximum: 5 }), max: value },
      closed,
    ),
  ]);
};

const Share = Type.Number({ minimum: 0, maximum: 1 });

const When = Type.Union([
  Type.Literal('always'),
  // The nth request of the model, from 1.
  Type.Object({ nth: Type.Integer({ minimum: 1 }) }, closed),
  // Every request of the model from one number to another, both included.
  Type.Object(
    { window: Type.Object({ from: Type.Integer({ minimum: 1 }), to: Type.Integer({ minimum: 1 }) }, closed) },
    closed,
  ),
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
    first_chunk_ms: Type.Optional(drawn(MS, true)),
    // 0 means as fast as possible.
    tokens_per_s: Type.Optional(drawn({ minimum: 0 })),
    output_tokens: Type.Optional(drawn({ minimum: 1, maximum: 1_000_000 }, true)),
    // Instead of `output_tokens`.
    answer_bytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_000_000 })),
    // Content events of a stream; one for each token if absent.
    chunks: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    errors: Type.Optional(Type.Array(Refusal, { maxItems: 64 })),
    stream_faults: Type.Optional(Type.Array(StreamFault, { maxItems: 64 })),
    // `late` is after the end of a stream, where nobody reads any more; whole answers have none.
    usage: Type.Optional(Type.Enum(['exact', 'absent', 'late', 'inconsistent'])),
    cached_share: Type.Optional(Share),
    reasoning_share: Type.Optional(Share),
    tool_call: Type.Optional(
      Type.Object(
        { name: Type.Optional(Type.String({ minLength: 1 })), arguments: Type.Optional(Type.Unknown()) },
        closed,
      ),
    ),
    // Says what the last message said, instead of words of its own.
    echo: Type.Optional(Type.Boolean()),
    finish_reason: Type.Optional(Type.String({ minLength: 1 })),
  },
  closed,
);

const script = Compile(Type.Record(Type.String({ minLength: 1 }), Profile));

/** How one simulated model behaves. */
export type SimulatedProfile = Static<typeof Profile>;
export type Drawn = Static<ReturnType<typeof drawn>>;
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
