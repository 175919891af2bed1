// What a route declares, all in one place: who may call it, what it takes and gives, its error codes and its handler.
// A route is a constant: what its handler works with comes with the call, as `Needs`.
import type { Permission } from '../auth/roles.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Call } from './call.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type PathParams = Readonly<Record<string, string | undefined>>;

/** A JSON Schema. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Route<Needs = object> {
  readonly method: Method;
  /** Template with `:name` parameters; `*` at the end takes the rest of the path. */
  readonly path: string;
  readonly release: 'P1' | 'P2';
  /** Anybody; a verified key; one bound to a tenant; or one whose role holds the permission there. */
  readonly access: 'public' | 'key' | 'tenant' | Permission;
  /**
   * `path`: it has a `:tenant` and the call is for it; one that the key does not serve is told as a missing policy.
   * `none`: the call is for no tenant of its own.
   */
  readonly tenantIn?: 'path' | 'none';
  /** The permission in the words of the API, where the route does not check it yet. */
  readonly permission?: string;
  readonly summary: string;
  readonly request?: JsonSchema;
  /** Of the good answer; absent for one that has no JSON body. */
  readonly response?: JsonSchema;
  /** Statuses of a good answer; 200 if absent. */
  readonly statuses?: readonly number[];
  /** Codes beside those that every route may answer. */
  readonly errors: readonly ErrorCode[];
  /** Answers the call, or throws a BeamlineError. */
  handle(call: Call, needs: Needs, params: PathParams): void | Promise<void>;
}
