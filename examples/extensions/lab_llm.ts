// A model provider of your own, as a service on the bus: this one repeats what it was told.
// Run it with `NATS_URL=nats://127.0.0.1:4222 node examples/extensions/lab_llm.ts`, and list it in the configuration:
// `providers: { list: [{ id: lab_llm, type: nats, models: { parrot: {} } }] }`
/* eslint-disable no-console, node/no-process-env -- a program of its own */
import { connect } from '@nats-io/transport-node';
import { ProviderFailure, serveProvider } from '../../sdk/provider-server.ts';

const nats = await connect({ servers: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222' });
serveProvider(nats, {
  id: 'lab_llm',
  answer({ messages = [] }) {
    const content = messages.at(-1)?.['content'];
    const said = typeof content === 'string' ? content : '';
    if (said.includes('too fast')) throw new ProviderFailure('rate_limited', 'one at a time', { retryAfterMs: 500 });
    return {
      output: `You said: ${said}`,
      usage: { prompt_tokens: said.length, completion_tokens: said.length + 10 },
    };
  },
});
await nats.flush();
console.log('serving lab_llm');
