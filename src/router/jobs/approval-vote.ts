// One person's decision on a question, and what becomes of the question by it. Pure.
// V1. Only who is listed decides, and never who asked. One person has one vote.
// V2. The first option with enough votes is the verdict; it never changes.
// V3. A vote counts once: repeated it is a conflict, and after the end of the question it is gone (worker 11).
import type { Approval } from '../../contracts/approval.ts';
import type { ApprovalVerdict } from '../../contracts/assignment.ts';
import type { JobCommand } from '../../contracts/job-control.ts';
import { BeamlineError } from '../../core/errors.ts';

export type Principal = NonNullable<JobCommand['principal']>;

export interface Vote {
  readonly principal: Principal | undefined;
  readonly option: string | undefined;
  readonly comment: string | undefined;
  /** Who asked, by user id, beside the key in the record. */
  readonly requesterUser: string | undefined;
  readonly nowMs: number;
}

/** The question after the vote. Throws `forbidden`, `invalid_request`, `conflict` and `gone`. */
export function voted(asked: Approval, vote: Vote): Approval {
  const { option, comment, nowMs } = vote;
  const approver = approverIn(asked, vote);
  if (option === undefined || !asked.options.includes(option)) {
    throw new BeamlineError('invalid_request', 'the option is none of the question', {
      details: { options: asked.options },
    });
  }
  const own = asked.votes.find((other) => other.approver === approver);
  if (own?.option === option) throw refused('conflict', 'repeated', 'this vote was given before, and stands');
  if (own !== undefined || asked.status === 'decided') {
    throw refused('conflict', 'decided', 'it was decided before');
  }
  if (asked.status === 'cancelled') throw refused('gone', 'cancelled', 'nobody waits for the decision any more');
  if (asked.status === 'expired' || nowMs >= asked.expires_at_ms) throw refused('gone', 'expired', 'the time is over');
  const votes = [...asked.votes, { approver, option, ...(comment === undefined ? {} : { comment }), at_ms: nowMs }];
  const next: Approval = { ...asked, votes };
  if (votes.filter((other) => other.option === option).length < asked.quorum) return next;
  return {
    ...next,
    status: 'decided',
    verdict: {
      approval_id: asked.approval_id,
      outcome: 'decided',
      option,
      approver,
      ...(comment === undefined ? {} : { comment }),
      decided_at_ms: nowMs,
    },
  };
}

/** The question when its time is over; undefined if it is not, or if it was decided. */
export function timedOut(asked: Approval, nowMs: number): Approval | undefined {
  if (asked.status !== 'pending' || nowMs < asked.expires_at_ms) return undefined;
  const verdict: ApprovalVerdict = {
    approval_id: asked.approval_id,
    outcome: 'expired',
    decided_at_ms: nowMs,
    ...(asked.on_timeout === 'fail' ? {} : { option: asked.on_timeout }),
  };
  return { ...asked, status: 'expired', verdict };
}

/** Who votes, as the record names them: a person who comes with two keys is still one. Throws `forbidden`. */
function approverIn(asked: Approval, { principal = {}, requesterUser }: Vote): string {
  const { key_id, user_id, role } = principal;
  const isRequester =
    (key_id !== undefined && key_id === asked.requester) || (user_id !== undefined && user_id === requesterUser);
  const names = [
    ...(user_id === undefined ? [] : [`user:${user_id}`]),
    ...(key_id === undefined ? [] : [`key:${key_id}`]),
    ...(role === undefined ? [] : [`role:${role}`]),
  ];
  const isListed = names.some((name) => asked.approvers.includes(name));
  const [name] = names;
  if (isRequester || !isListed || name === undefined) {
    throw new BeamlineError('forbidden', isRequester ? 'who asked cannot decide' : 'only a listed approver decides');
  }
  return name;
}

const refused = (code: 'conflict' | 'gone', reason: string, message: string): BeamlineError =>
  new BeamlineError(code, message, { details: { reason } });
