// The listening socket: limits of heads, sockets and time, and what is answered before a route is known (gateway 2).
// fastify finds the route; the call is then handled on the raw response, so nothing of a body is read unasked.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { fastify } from 'fastify';
import { BeamlineError } from '../core/errors.ts';
import { Call, type Edge } from './call.ts';
import { faultOfHead } from './head-fault.ts';
import type { Gate } from './gate.ts';
import { refuseUnparsed } from './refuse-unparsed.ts';
import type { PathParams, Route } from './route.ts';
import { type RouteNeeds, routeTable } from './route-table.ts';
import { RouteCounters } from './route-counters.ts';
import type { GatewaySettings } from './settings.ts';
import { openUnserved } from './unserved.ts';

export interface Listener {
  readonly url: string;
  /** Accepts no further connection and closes idle ones; resolves when every socket is closed. */
  close(): Promise<void>;
  closeIdle(): void;
  closeAll(): void;
}

export interface ListenerDeps {
  readonly edge: Edge;
  readonly gate: Gate;
  readonly settings: GatewaySettings['http'];
  readonly needs: RouteNeeds;
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];
const PATH_PARAM_MAX = 2_048;

/** Binds the port of the settings; rejects when it is taken. */
export async function openListener(deps: ListenerDeps): Promise<Listener> {
  const { edge, settings } = deps;
  const calls = new WeakMap<object, Call>();
  const sockets = new Set<Socket>();
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: PATH_PARAM_MAX },
    clientErrorHandler: (fault, socket) => refuseUnparsed(edge, fault, socket, calls.get(socket)),
    serverFactory: (route) => boundServer(settings, calls, edge, route),
  });

  const callOf = (req: IncomingMessage): Call => calls.get(req.socket) ?? unknownCall();
  for (const route of routeTable) {
    const counters = new RouteCounters(edge.metrics, route.path);
    app.route<{ Params: PathParams }>({
      method: route.method === 'GET' ? ['GET', 'HEAD'] : route.method,
      url: route.path,
      onRequest(request, reply) {
        reply.hijack();
        const call = callOf(request.raw);
        call.take(route, counters);
        serve(deps, call, route, request.params);
      },
      handler: unreached,
    });
  }
  const unserved = openUnserved();
  app.route({
    method: METHODS,
    url: '/*',
    onRequest(request, reply) {
      reply.hijack();
      callOf(request.raw).fail(unserved(request.raw.url ?? ''));
    },
    handler: unreached,
  });
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await app.listen({ host: settings.host, port: settings.port });
  return {
    url: urlOf(app.server.address() as AddressInfo),
    close: () => app.close(),
    closeIdle() {
      app.server.closeIdleConnections();
      // Node takes a socket without a first request for a busy one, and clients open sockets ahead of need.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    },
    closeAll: () => app.server.closeAllConnections(),
  };
}

function serve({ edge, gate, needs }: ListenerDeps, call: Call, route: Route<RouteNeeds>, params: PathParams): void {
  try {
    if (edge.lifecycle.phase === 'draining' && route.access !== 'public') {
      throw new BeamlineError('draining', 'The server is shutting down.');
    }
    gate.admit(call, route);
    route.handle(call, needs, params)?.catch((fault: unknown) => call.fail(BeamlineError.from(fault)));
  } catch (fault) {
    call.fail(BeamlineError.from(fault));
  }
}

function boundServer(
  settings: GatewaySettings['http'],
  calls: WeakMap<object, Call>,
  edge: Edge,
  route: (req: IncomingMessage, res: ServerResponse) => void,
): Server {
  const server = createServer({
    maxHeaderSize: settings.headers_max_bytes,
    headersTimeout: settings.headers_timeout_ms,
    // The body has a deadline of its own; this one ends what is skipped after an answer.
    requestTimeout: settings.headers_timeout_ms + settings.body_timeout_ms,
    connectionsCheckingInterval: Math.max(50, Math.min(1_000, settings.headers_timeout_ms / 4)),
    keepAliveTimeout: settings.keep_alive_ms,
    requireHostHeader: false,
  });
  server.maxHeadersCount = settings.headers_max_count + 1;
  server.maxRequestsPerSocket = settings.max_requests_per_socket;
  server.maxConnections = settings.max_connections;
  const accept = (req: IncomingMessage, res: ServerResponse): void => {
    const call = new Call(edge, req, res);
    calls.set(req.socket, call);
    const fault = faultOfHead(req, settings.headers_max_count);
    if (fault === undefined) route(req, res);
    else call.fail(fault, true);
  };
  server.on('request', accept);
  // The client gets its `100 Continue` when the body is wanted.
  server.on('checkContinue', accept);
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    const error = new BeamlineError('invalid_request', 'The expectation is not served.', {
      details: { reason: 'expectation' },
    });
    new Call(edge, req, res).fail(error, true);
  });
  return server;
}

function urlOf({ address, port, family }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function unknownCall(): never {
  throw new BeamlineError('internal', 'a request without a call');
}

/** Every route answers in its first hook. */
const unreached = (): void => undefined;
