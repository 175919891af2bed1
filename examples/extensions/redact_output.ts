// A post-processor that replaces words of an answer before it leaves. With `mode: required` a stream waits for it.
// Run it with `NATS_URL=nats://127.0.0.1:4222 node examples/extensions/redact_output.ts`, and name it in a policy:
// `post: [{ id: redact_output, mode: required, config: { words: [codename] } }]`
/* eslint-disable no-console, node/no-process-env -- a program of its own */
import { connect } from '@nats-io/transport-node';
import { serveExtension } from '../../sdk/extension-server.ts';

interface Choice {
  readonly message?: { readonly content?: unknown };
}

const nats = await connect({ servers: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222' });
serveExtension(nats, {
  id: 'redact_output',
  type: 'post',
  handle({ payload, config }) {
    const words = Array.isArray(config['words']) ? config['words'].map(String) : [];
    const redact = (text: string): string => words.reduce((left, word) => left.replaceAll(word, '***'), text);
    const choices = (Array.isArray(payload['choices']) ? (payload['choices'] as Choice[]) : []).map((choice) => {
      const content = choice.message?.content;
      if (typeof content !== 'string') return choice;
      return Object.assign({}, choice, { message: { ...choice.message, content: redact(content) } });
    });
    return { payload: { ...payload, choices } };
  },
});
await nats.flush();
console.log('serving redact_output');
