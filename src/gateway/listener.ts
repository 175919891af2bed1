// The listening socket: limits of heads, sockets and time, and what is answered before a route is known (gateway 2).
// The router finds the route; the call is handled on the raw response, so nothing of a body is read unasked.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import createRouter, { type HTTPMethod, type HTTPVersion, type Instance } from 'find-my-way';
import { BeamlineError } from '../core/errors.ts';
import { Call, type Edge } from './call.ts';
import { faultOfHead } from './head-fault.ts';
import type { Gate } from './gate.ts';
import { refuseConnect, refuseUnparsed } from './refuse-unparsed.ts';
import type { PathParams, Route } from './route.ts';
import { type RouteNeeds, routeTable } from './route-table.ts';
import { RouteCounters } from './route-counters.ts';
import type { GatewaySettings } from './settings.ts';
import { StalledSockets } from './stalled-sockets.ts';
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

const PATH_PARAM_MAX = 2_048;

/** Binds the port of the settings; rejects when it is taken. */
export async function openListener(deps: ListenerDeps): Promise<Listener> {
  const { edge, settings, needs } = deps;
  const router = openRouter(deps);
  const unserved = openUnserved();
  const server = boundServer(settings, edge, (call) => {
    const { method = '', url = '' } = call.req;
    const found = router.find(method as HTTPMethod, url);
    if (found === null) call.fail(unserved(method, url));
    else (found.store as Serve)(call, found.params);
  });
  const sockets = new StalledSockets<CallSocket>({
    timers: edge.timers,
    stallMs: needs.settings.stream.stall_ms,
    isOwned: (socket) => socket[CALL]?.isOver === false,
    cut(socket) {
      edge.metrics.slowClients.of(socket[CALL]?.dialect ?? 'native').add();
      socket.destroy();
    },
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await listening(server, settings);
  return {
    url: urlOf(server.address() as AddressInfo),
    close: () => new Promise((resolve) => server.close(() => resolve())),
    closeIdle() {
      server.closeIdleConnections();
      // Node takes a socket without a first request for a busy one, and clients open sockets ahead of need.
      for (const socket of sockets.keys()) if (socket.bytesRead === 0) socket.destroy();
    },
    closeAll: () => server.closeAllConnections(),
  };
}

type Serve = (call: Call, params: PathParams) => void;

/** Finds what serves a method and a path; the routes are those of the table. */
function openRouter(deps: ListenerDeps): Instance<HTTPVersion.V1> {
  const router = createRouter({ maxParamLength: PATH_PARAM_MAX });
  for (const route of routeTable) {
    const counters = new RouteCounters(deps.edge.metrics, route.path);
    const serveRoute: Serve = (call, params) => {
      call.take(route, counters);
      serve(deps, call, route, params);
    };
    router.on(route.method === 'GET' ? ['GET', 'HEAD'] : [route.method], route.path, unreached, serveRoute);
  }
  return router;
}

function listening(server: Server, { host, port }: GatewaySettings['http']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function serve({ edge, gate, needs }: ListenerDeps, call: Call, route: Route<RouteNeeds>, params: PathParams): void {
  try {
    if (edge.lifecycle.phase === 'draining' && route.access !== 'public') {
      throw new BeamlineError('draining', 'The server is shutting down.');
    }
    gate.admit(call, route, params);
    route.handle(call, needs, params)?.catch((fault: unknown) => call.fail(BeamlineError.from(fault)));
  } catch (fault) {
    call.fail(BeamlineError.from(fault));
  }
}

/** The last call of a socket: what a fault behind it belongs to. */
const CALL = Symbol('call');
type CallSocket = Socket & { [CALL]?: Call };

function boundServer(settings: GatewaySettings['http'], edge: Edge, route: (call: Call) => void): Server {
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
    (req.socket as CallSocket)[CALL] = call;
    const fault = faultOfHead(req, settings.headers_max_count);
    if (fault === undefined) route(call);
    else call.fail(fault, true);
  };
  server.on('request', accept);
  server.on('clientError', (fault, socket) => refuseUnparsed(edge, fault, socket, (socket as CallSocket)[CALL]));
  server.on('connect', (_req, socket) => refuseConnect(edge, socket));
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

/** The router hands over the store, and never calls a handler. */
const unreached = (): void => undefined;
