// The counters of the HTTP edge (gateway 17). Families are declared once; children that the request path needs are
// kept by whoever observes them.
import {
  LONG_SECONDS,
  type Counter,
  type Family,
  type Gauge,
  type Histogram,
  type Metrics,
} from '../telemetry/metrics.ts';

export interface EdgeMetrics {
  readonly requests: Family<Counter>;
  readonly durationSeconds: Family<Histogram>;
  readonly active: Family<Gauge>;
  readonly streams: Family<Counter>;
  readonly chunks: Family<Counter>;
  readonly disconnects: Family<Counter>;
  readonly slowClients: Family<Counter>;
  readonly errors: Family<Counter>;
  readonly unmapped: Family<Counter>;
  readonly auth: Family<Counter>;
  readonly busConnected: Family<Gauge>;
  readonly backpressure: Family<Gauge>;
  readonly shed: Family<Counter>;
}

export const openEdgeMetrics = (metrics: Metrics): EdgeMetrics => ({
  requests: metrics.counter({
    name: 'gateway_http_requests_total',
    help: 'Answered requests.',
    labels: ['method', 'route', 'status'],
  }),
  durationSeconds: metrics.histogram(
    {
      name: 'gateway_http_request_duration_seconds',
      help: 'From the request head to the last byte of the answer.',
      labels: ['method', 'route'],
    },
    LONG_SECONDS,
  ),
  active: metrics.gauge({ name: 'gateway_active_requests', help: 'Requests not answered yet.', labels: ['dialect'] }),
  streams: metrics.counter({
    name: 'gateway_streams_total',
    help: 'Streams by how they ended.',
    labels: ['dialect', 'outcome'],
  }),
  chunks: metrics.counter({
    name: 'gateway_stream_chunks_total',
    help: 'Events written to streams.',
    labels: ['dialect'],
  }),
  disconnects: metrics.counter({
    name: 'gateway_client_disconnects_total',
    help: 'Requests whose client left before the answer was complete.',
    labels: ['dialect'],
  }),
  slowClients: metrics.counter({
    name: 'gateway_slow_clients_total',
    help: 'Connections closed because their client did not read.',
    labels: ['dialect'],
  }),
  errors: metrics.counter({
    name: 'gateway_errors_total',
    help: 'Failed requests by their code.',
    labels: ['code', 'error_class'],
  }),
  unmapped: metrics.counter({
    name: 'gateway_unmapped_errors_total',
    help: 'Failures whose code nobody here knows, by who said it; must stay 0.',
    labels: ['origin'],
  }),
  auth: metrics.counter({
    name: 'gateway_auth_total',
    help: 'Verified and refused credentials.',
    labels: ['kind', 'result'],
  }),
  busConnected: metrics.gauge({ name: 'gateway_bus_connected', help: '1 while the bus is connected.' }),
  backpressure: metrics.gauge({
    name: 'gateway_backpressure_state',
    help: 'What is told of overload: 0 normal, 1 warning, 2 active, 3 unknown.',
    labels: ['signal'],
  }),
  shed: metrics.counter({
    name: 'gateway_shed_total',
    help: 'Requests that were refused for overload, by the signal that said so.',
    labels: ['reason', 'tenant_id'],
  }),
});
