// Administration of the routers: one subject per operation, answered by one router of the group (contracts 4.14).
// The envelope is here; what each operation takes and gives is in `admin-operations.ts`.
import { Type } from 'typebox';
import { payload, requestContract } from './contract.ts';
import { contextOf, Failure, failureOf, ReplyContext } from './failure.ts';
import { Id, maybe, OpenObject } from './fields.ts';

const AdminRequest = Type.Object({ version: Type.Literal('2'), request_id: Id, params: OpenObject });
export type AdminRequest = Type.Static<typeof AdminRequest>;

const AdminReply = Type.Object({
  version: Type.Literal('2'),
  ok: Type.Boolean(),
  result: maybe(OpenObject),
  error: maybe(Failure),
  context: ReplyContext,
});
export type AdminReply = Type.Static<typeof AdminReply>;

export const adminV2 = requestContract({
  class: 'request_reply',
  template: 'beamline.router.v2.admin.<op>',
  headers: 'admin_v2',
  request: payload('beamline.router.AdminRequest', '2', AdminRequest),
  reply: payload('beamline.router.AdminReply', '2', AdminReply),
  refuse(error, request): AdminReply {
    return { version: '2', ok: false, error: failureOf(error), context: adminContextOf(request) };
  },
});

/** The request's id, and the tenant that its params name. */
export function adminContextOf(request: unknown): ReplyContext {
  const params = (request as Partial<AdminRequest> | undefined)?.params;
  return { ...contextOf(params), ...contextOf(request) };
}
