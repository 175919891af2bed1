// Settings of the HTTP policy store (policy 12.2): flat names, because operators know them by these.
import { Type } from 'typebox';
import { integer, secretRef, span, text } from './setting.ts';

export const heirSettings = {
  heir_policy_store_enabled: Type.Boolean({
    default: false,
    description: 'True equals `policy.source: heir`; otherwise no socket to the HTTP policy store is opened.',
  }),
  heir_policy_store_host: text('Host of the HTTP policy store; plain http only where it is a loopback address.', {
    default: 'localhost',
    pattern: '^[A-Za-z0-9._:-]+$',
  }),
  heir_policy_store_port: integer(8080, 1, 65_535, 'Port of the HTTP policy store.'),
  heir_policy_store_url: Type.Optional(
    text('Address of the HTTP policy store up to `/api/v1`; wins over host and port.', {
      pattern: '^https?://[^@\\s?#]+$',
    }),
  ),
  heir_policy_store_timeout: span(5000, 10, 'Time of one operation on the HTTP policy store with its retries.'),
  heir_policy_store_request_timeout: span(1000, 10, 'Time of one HTTP request to the policy store.'),
  heir_policy_store_poll: span(2000, 10, 'Time between two looks at the change feed, give or take a tenth.'),
  heir_policy_store_token: Type.Optional(secretRef('Bearer token for the HTTP policy store.')),
  heir_policy_store_ca: Type.Optional(secretRef('Certificates that the HTTP policy store is trusted by, PEM.')),
  heir_policy_store_cert: Type.Optional(secretRef('Client certificate for the HTTP policy store, PEM.')),
  heir_policy_store_key: Type.Optional(secretRef('Key of the client certificate, PEM.')),
};
