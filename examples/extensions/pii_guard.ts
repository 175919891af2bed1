// A validator that refuses prompts with phone numbers, e-mail addresses or card numbers.
// Run it with `NATS_URL=nats://127.0.0.1:4222 node examples/extensions/pii_guard.ts`, and name it in a policy:
// `validators: [{ id: pii_guard, on_fail: block, config: { types: [phone, email] } }]`
/* eslint-disable no-console, node/no-process-env -- a program of its own */
import { connect } from '@nats-io/transport-node';
import { serveExtension } from '../../sdk/extension-server.ts';

const PATTERNS: Record<string, RegExp> = {
  phone: /(?<!\d)(?:\+\d{1,3}[ -]?)?(?:\(\d{2,4}\)[ -]?)?\d{3}[ -]\d{4}(?!\d)/,
  email: /[\w.+-]+@[\w-]+\.[\w.]+/,
  card: /(?<!\d)(?:\d[ -]?){13,16}(?!\d)/,
};

const nats = await connect({ servers: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222' });
serveExtension(nats, {
  id: 'pii_guard',
  type: 'validator',
  handle({ payload, config }) {
    const text = JSON.stringify(payload['messages'] ?? payload['prompt'] ?? '');
    const types = Array.isArray(config['types']) ? config['types'].map(String) : Object.keys(PATTERNS);
    const found = types.filter((type) => PATTERNS[type]?.test(text));
    if (found.length === 0) return { status: 'ok' };
    return { status: 'reject', reason: `the prompt holds personal data: ${found.join(', ')}`, details: { found } };
  },
});
await nats.flush();
console.log('serving pii_guard');
