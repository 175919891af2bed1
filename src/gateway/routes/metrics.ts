// GET /metrics: everything that the process counts, as Prometheus text 0.0.4 (gateway 16).
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { Route } from '../route.ts';

export const metricsRoute: Route<{ readonly telemetry: Telemetry }> = {
  method: 'GET',
  path: '/metrics',
  release: 'P1',
  access: 'public',
  summary: 'Metrics of the process.',
  errors: [],
  handle(call, { telemetry }) {
    call.send(200, ['content-type', 'text/plain; version=0.0.4; charset=utf-8'], telemetry.metrics.render());
  },
};
