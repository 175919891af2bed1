// Requests that nobody sent, to compare policies with: the same for the same seed, on every machine.
import { unit } from '../policy/draw.ts';
import type { Policy } from '../policy/policy.ts';
import { factsOf, type RequestDocument } from '../policy/request-document.ts';
import { snapshotOf } from '../policy/snapshot-document.ts';
import type { Fixture } from './policy-fixtures.ts';

/** About as many sessions as a tenant has at once; each comes again. */
const SESSIONS = 200;
/** Input tokens from 10 to 100 000, evenly over the orders of magnitude. */
const INPUT_TOKENS_MIN = 10;
const INPUT_TOKENS_ORDERS = 4;
const OUTPUT_TOKENS_MAX = 4_000;

/** `count` requests for the models that the policies name, each with a session. */
export function sampleRequests(policies: readonly Policy[], count: number, seed: string): readonly Fixture[] {
  const keys = new Set(policies.map(({ sticky }) => sticky?.sessionKey ?? 'session_id'));
  const models = new Set(policies.flatMap(({ targets }) => targets.flatMap(({ model }) => model ?? [])));
  const names = models.size === 0 ? ['small'] : [...models];
  return Array.from({ length: count }, (_, index): Fixture => {
    const chance = (label: string): number => unit(`sample|${seed}|${index}|${label}`);
    const session = `s-${Math.floor(chance('session') * SESSIONS)}`;
    const name = `sample-${index + 1}`;
    const request: RequestDocument = {
      request_id: `${seed}-${name}`,
      model: names[Math.floor(chance('model') * names.length)] ?? 'small',
      stream: chance('stream') < 0.5,
      context: Object.fromEntries([...keys].map((key) => [key, session])),
      estimate: {
        input_tokens: Math.round(INPUT_TOKENS_MIN * 10 ** (chance('input') * INPUT_TOKENS_ORDERS)),
        max_output_tokens: Math.ceil(chance('output') * OUTPUT_TOKENS_MAX),
      },
    };
    const trial = { facts: factsOf(request, name), snapshot: snapshotOf({}), failures: [] };
    return { name, trial, expect: {} };
  });
}
