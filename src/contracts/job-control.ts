// What the gateway asks of the router about jobs that exist: only the router writes their state.
import { Type } from 'typebox';
import { payload, requestContract } from './contract.ts';
import { contextOf, Failure, failureOf, ReplyContext } from './failure.ts';
import { Id, Key, maybe, OpenObject, Text, Word } from './fields.ts';

export const JOB_OPERATIONS = ['cancel', 'annotate', 'delete', 'approve'] as const;
export type JobOperation = (typeof JOB_OPERATIONS)[number];

const JobCommand = Type.Object({
  version: Type.Literal('2'),
  request_id: Id,
  tenant_id: Id,
  job_id: Id,
  principal: maybe(Type.Object({ key_id: maybe(Id), user_id: maybe(Key), role: maybe(Id) })),
  // `annotate`: replaces what is given.
  metadata: maybe(OpenObject),
  tags: maybe(Type.Array(Word, { maxItems: 16 })),
  // `approve`: the option that an approver chose.
  option: maybe(Word),
  comment: maybe(Text),
});
export type JobCommand = Type.Static<typeof JobCommand>;

const JobReply = Type.Object({
  version: Type.Literal('2'),
  ok: Type.Boolean(),
  // Status of the job after the operation.
  status: maybe(Id),
  // False where the job already was what was asked for.
  changed: maybe(Type.Boolean()),
  error: maybe(Failure),
  context: ReplyContext,
});
export type JobReply = Type.Static<typeof JobReply>;

export const jobControl = requestContract({
  class: 'request_reply',
  template: 'beamline.router.v2.jobs.<op>',
  headers: 'request_reply_v2',
  request: payload('beamline.router.JobCommand', '2', JobCommand),
  reply: payload('beamline.router.JobReply', '2', JobReply),
  refuse: (error, request): JobReply => ({
    version: '2',
    ok: false,
    error: failureOf(error),
    context: contextOf(request),
  }),
});
