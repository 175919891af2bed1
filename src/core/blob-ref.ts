// How a blob is named in messages: `blob://<tenant>/<id>`. A name of another tenant's is the name of nothing.

export const blobRef = (tenantId: string, id: string): string => `blob://${encodeURIComponent(tenantId)}/${id}`;

/** The id in a reference of this tenant; undefined for another's, and for what is no reference. */
export function blobId(tenantId: string, ref: string): string | undefined {
  const start = blobRef(tenantId, '');
  const id = ref.startsWith(start) ? ref.slice(start.length) : '';
  return /^[0-9a-f]{64}(?:\.[0-9a-f]{64})?$/.test(id) ? id : undefined;
}
