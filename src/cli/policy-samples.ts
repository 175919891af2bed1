// Requests that nobody sent, to compare policies with: the same for the same seed, on every machine.
import { unit } from '../core/hash.ts';
import type { Policy } from '../policy/policy.ts';
import { factsOf, type RequestDocument } from '../policy/request-document.ts';
import { isMembers } from '../policy/shape.ts';
import { snapshotOf } from '../policy/snapshot-document.ts';
import type { Fixture } from './policy-fixtures.ts';

/** About as many sessions as a tenant has at once; each comes again. */
const SESSIONS = 200;
/** Input tokens from 10 to 100 000, evenly over the orders of magnitude. */
const INPUT_TOKENS_MIN = 10;
const INPUT_TOKENS_ORDERS = 4;
const OUTPUT_TOKENS_MAX = 4_000;

/** Requested names that a document knows; a pattern stands for one that it matches. */
export function modelsNamed(document: unknown): readonly string[] {
  const providers = isMembers(document) ? document['providers'] : undefined;
  return (Array.isArray(providers) ? providers : []).flatMap((provider: unknown): readonly string[] => {
    const models = isMembers(provider) ? provider['models'] : undefined;
    const names = Array.isArray(models) ? models.filter((name) => typeof name === 'string') : [];
    return names.map((name) => name.replace(/\*$/, 'sample'));
  });
}

/** `count` requests for these models, each with a session. */
export function sampleRequests(
  policies: readonly Policy[],
  models: readonly string[],
  count: number,
  seed: string,
): readonly Fixture[] {
  const keys = new Set(policies.map(({ sticky }) => sticky?.sessionKey ?? 'session_id'));
  const names = models.length === 0 ? ['small'] : [...new Set(models)];
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
