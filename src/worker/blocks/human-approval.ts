// The block `human.approval`: what people decided becomes the result (worker 11). The waiting is over when it runs; without
// a decision in the assignment it refuses, so nothing approves itself.
import { Type } from 'typebox';
import type { ApprovalVerdict } from '../../contracts/assignment.ts';
import { payload } from '../../contracts/contract.ts';
import { type Block, BlockFailure } from './block.ts';

const Word = Type.String({ minLength: 1, maxLength: 64 });

const Input = Type.Object({
  title: Type.String({ minLength: 1, maxLength: 1_024 }),
  body: Type.Optional(Type.String({ maxLength: 16_384 })),
  artefacts: Type.Optional(Type.Array(Type.Object({}), { maxItems: 32 })),
  options: Type.Optional(Type.Array(Word, { minItems: 1, maxItems: 16, uniqueItems: true })),
  approvers: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { minItems: 1, maxItems: 64 }),
  quorum: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
  expires_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_592_000 })),
  on_timeout: Type.Optional(Type.Enum(['reject', 'approve', 'fail'])),
});
type Input = Type.Static<typeof Input>;

const Output = Type.Object({
  option: Word,
  // Absent where the time decided.
  approver: Type.Optional(Type.String({ maxLength: 256 })),
  comment: Type.Optional(Type.String({ maxLength: 1_024 })),
  decided_at: Type.String({ description: 'RFC 3339.' }),
});
type Output = Type.Static<typeof Output>;

/** What people choose from where the caller names nothing else; also what the end of the time decides on. */
const OPTIONS: readonly string[] = ['approve', 'reject'];

export const humanApproval: Block<Input, Output> = {
  type: 'human.approval',
  version: '1',
  class: 'io',
  scopes: ['human:request'],
  effect: () => 'idempotent',
  input: payload('beamline.block.human_approval.Input', '1', Input),
  output: payload('beamline.block.human_approval.Output', '1', Output),
  async execute(input, { approval, assignmentId }) {
    if (approval === undefined)
      throw new BlockFailure('SANDBOX_VIOLATION', 'nobody has decided', { detailCode: 'no_verdict' });
    if (approval.approval_id !== `apr_${assignmentId}`) throw strange();
    return { output: outcomeOf(approval, input) };
  },
};

function outcomeOf(verdict: ApprovalVerdict, input: Input): Output {
  const { on_timeout = 'fail' } = input;
  const options: readonly string[] = input.options ?? OPTIONS;
  const decidedAt = new Date(verdict.decided_at_ms).toISOString();
  if (verdict.outcome === 'expired') {
    if (on_timeout !== 'fail') return { option: on_timeout, decided_at: decidedAt };
    throw new BlockFailure('EXECUTION_FAILED', 'nobody decided in time', { detailCode: 'approval_expired' });
  }
  const { option, approver, comment } = verdict;
  if (option === undefined || approver === undefined || !options.includes(option)) {
    throw strange();
  }
  return { option, approver, ...(comment === undefined ? {} : { comment }), decided_at: decidedAt };
}

const strange = (): BlockFailure =>
  new BlockFailure('SANDBOX_VIOLATION', 'the decision does not answer the question', { detailCode: 'bad_verdict' });
