// An explanation for people: who was taken and why, the steps in order, and every candidate.
import type { Explanation } from '../policy/explanation.ts';

export function explanationText(explanation: Explanation): string {
  const { reason, priority, provider_id: provider, steps, candidates } = explanation;
  const head =
    provider === undefined ? 'no provider' : `${provider}: ${reason}, priority ${priority}${usedFallback(explanation)}`;
  return [
    head,
    `  policy ${explanation.policy_id} revision ${explanation.policy_revision} (version ${explanation.policy_version}), attempt ${explanation.attempt}, seed ${explanation.seed}`,
    'steps',
    ...columns(steps.map(({ n, stage, outcome, detail }) => [`${n}`, stage, outcome, detail])),
    'candidates',
    ...columns(
      candidates.map((one) => [
        one.provider_id,
        one.state,
        one.state === 'removed' ? `by ${one.by}` : `weight ${one.weight}`,
      ]),
    ),
  ].join('\n');
}

const usedFallback = ({ fallback_used: isUsed }: Explanation): string => (isUsed ? ', fallback used' : '');

/** Rows as lines whose cells stand below each other. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd());
}
