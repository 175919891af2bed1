// The honest floor: the least that a Node process can do and still be an HTTP proxy for chat completions.
// It reads the body, parses it once, checks its shape, passes the bytes on and passes the answer's bytes back.
// It has no keys, no policy, no usage, no log; what Beamline costs beyond this file is what Beamline does.
// Run as `node bench/bare-proxy.ts PORT UPSTREAM_ORIGIN`.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type Dispatcher, Pool } from 'undici';

const [port, origin = ''] = process.argv.slice(2);

const chat = Compile(
  Type.Object({
    model: Type.String({ minLength: 1 }),
    messages: Type.Array(Type.Object({ role: Type.String(), content: Type.String() }), { minItems: 1 }),
    stream: Type.Optional(Type.Boolean()),
  }),
);

const pool = new Pool(origin);

const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => forward(request, parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts), response));
});

function forward(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  const order = parse(body);
  if (!chat.Check(order)) {
    refuse(response, 400);
    return;
  }
  pool.dispatch(
    {
      method: 'POST',
      path: request.url ?? '/',
      headers: { 'content-type': 'application/json', authorization: request.headers.authorization ?? '' },
      body,
    },
    order.stream === true ? passing(response) : collecting(response),
  );
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** Sends a whole answer in one write, with its length. */
function collecting(response: ServerResponse): Dispatcher.DispatchHandler {
  const parts: Buffer[] = [];
  let status = 502;
  let type = '';
  return {
    onRequestStart: (controller) => abortWith(response, controller),
    onResponseStart(_controller, code, headers) {
      status = code;
      type = String(headers['content-type']);
    },
    onResponseData(_controller, part) {
      parts.push(part);
    },
    onResponseEnd() {
      const body = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      response.writeHead(status, { 'content-type': type, 'content-length': body.length });
      response.end(body);
    },
    onResponseError: () => refuse(response, 502),
  };
}

/** Passes bytes on as they come, no faster than the caller reads them. */
function passing(response: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller) => abortWith(response, controller),
    onResponseStart(_controller, code, headers) {
      response.writeHead(code, { 'content-type': String(headers['content-type']) });
    },
    onResponseData(controller, part) {
      if (response.write(part)) return;
      controller.pause();
      response.once('drain', () => controller.resume());
    },
    onResponseEnd() {
      response.end();
    },
    onResponseError: () => refuse(response, 502),
  };
}

/** A caller that goes away ends its call. */
function abortWith(response: ServerResponse, controller: Dispatcher.DispatchController): void {
  response.on('close', () => {
    if (!response.writableFinished) controller.abort(new Error('the caller went away'));
  });
}

function refuse(response: ServerResponse, status: number): void {
  if (response.headersSent) response.destroy();
  else response.writeHead(status, { 'content-length': 0 }).end();
}

server.listen(Number(port), '127.0.0.1');
