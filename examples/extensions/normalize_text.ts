// A pre-processor that tidies prompts: Unicode normal form, single spaces, no blanks at the ends.
// Run it with `NATS_URL=nats://127.0.0.1:4222 node examples/extensions/normalize_text.ts`, and name it in a policy:
// `pre: [{ id: normalize_text, mode: optional }]`
/* eslint-disable no-console, node/no-process-env -- a program of its own */
import { connect } from '@nats-io/transport-node';
import { serveExtension } from '../../sdk/extension-server.ts';

const tidy = (text: string): string =>
  text
    .normalize('NFC')
    .replaceAll(/[^\S\n]+/g, ' ')
    .trim();

const nats = await connect({ servers: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222' });
serveExtension(nats, {
  id: 'normalize_text',
  type: 'pre',
  handle({ payload }) {
    const messages: unknown[] = Array.isArray(payload['messages']) ? payload['messages'] : [];
    const tidied = messages.map((message) =>
      typeof message === 'object' && message !== null && 'content' in message && typeof message.content === 'string'
        ? Object.assign({}, message, { content: tidy(message.content) })
        : message,
    );
    return { payload: { ...payload, messages: tidied } };
  },
});
await nats.flush();
console.log('serving normalize_text');
