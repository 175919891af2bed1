// Any OpenAI client works: here the official one, whole and streamed. Start `./beamline up`, then run
//   BEAMLINE_KEY=blk_live_... ./beamline node examples/client.ts
/* eslint-disable no-console, node/no-process-env -- a program for reading */
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: process.env['BEAMLINE_URL'] ?? 'http://127.0.0.1:8080/v1',
  apiKey: process.env['BEAMLINE_KEY'] ?? '',
});
const model = process.env['BEAMLINE_MODEL'] ?? 'sim/sim-small';

// Whole, with how Beamline routed it.
const { data: answer, response } = await client.chat.completions
  .create({ model, messages: [{ role: 'user', content: 'Name two lakes' }] })
  .withResponse();
console.log(answer.choices[0]?.message.content);
console.log(`from ${response.headers.get('x-beamline-provider')}, ${answer.usage?.total_tokens} tokens`);

// Streamed. A stream that breaks off throws: it never ends as if it were complete.
const stream = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'And two rivers' }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
console.log();

// What goes wrong has a stable code.
try {
  await client.chat.completions.create({ model: 'no-such-model', messages: [{ role: 'user', content: 'Hello' }] });
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  console.log(`refused: ${error.status} ${error.code}`);
}
