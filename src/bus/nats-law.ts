// The law of headers for messages of NATS: their raw bytes are looked at before anybody decodes them.
import type { Msg } from '@nats-io/transport-node';
import type { HeaderSet } from '../contracts/headers.ts';
import { type HeaderRule, headerCheck } from './header-law.ts';

/** What the client library keeps of a message, though its types do not say so. */
interface RawMsg {
  readonly _rdata?: Uint8Array;
  readonly _msg?: { readonly hdr: number };
}

const NONE = new Uint8Array(0);

/** Gives the rule that a message breaks. Later frames of an attempt may go without headers (`frames_v2`). */
export function lawOf(
  set: HeaderSet | undefined,
  isFrames = false,
): (msg: Msg, message: unknown) => HeaderRule | undefined {
  const check = headerCheck(set);
  return (msg, message) => {
    // Every message is an object: the codec saw to it.
    const { seq, tenant_id: tenantId } = message as { readonly seq?: unknown; readonly tenant_id?: unknown };
    if (isFrames && seq !== 0) return undefined;
    const { _rdata: bytes, _msg: head } = msg as unknown as RawMsg;
    if (bytes !== undefined && head !== undefined) return check.broken(bytes, head.hdr, tenantId);
    const written = encoded(msg);
    return check.broken(written, written.length, tenantId);
  };
}

/** Where the library keeps them otherwise. */
function encoded({ headers }: Msg): Uint8Array {
  const { encode } = (headers ?? {}) as { readonly encode?: () => Uint8Array };
  return encode?.call(headers) ?? NONE;
}
