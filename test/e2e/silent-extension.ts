// Serves the extension that its arguments name, says of each call that it came, and never answers: a process to be killed.
/* eslint-disable no-console, node/no-process-env -- a program of its own */
import { connect } from '@nats-io/transport-node';
import { type ExtensionType, serveExtension } from '../../sdk/extension-server.ts';

const [id = '', type = 'validator'] = process.argv.slice(2);
const nats = await connect({ servers: process.env['NATS_URL'] ?? '' });
serveExtension(nats, {
  id,
  type: type as ExtensionType,
  handle: () => {
    console.log('asked');
    return new Promise(() => undefined);
  },
});
await nats.flush();
console.log(`serving ${id}`);
