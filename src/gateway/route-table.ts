// Every path that the gateway serves. What is not in here does not exist; the OpenAPI document is made of it.
import type { EdgeMetrics } from './edge-metrics.ts';
import type { GatewayDeps } from './gateway.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { ServedDocument } from './openapi.ts';
import type { BodyLimits } from './read-body.ts';
import type { Route } from './route.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { breakerResetRoute } from './routes/breaker-reset.ts';
import { budgetRoutes } from './routes/budgets.ts';
import { chatCompletions } from './routes/chat-completions.ts';
import { deadLetterReplayRoutes } from './routes/dead-letter-replays.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { decideRoute } from './routes/decide.ts';
import { decisionRoute } from './routes/decisions.ts';
import { embeddings } from './routes/embeddings.ts';
import { extensionBreakersRoute, extensionHealthRoute } from './routes/extension-health.ts';
import { extensionRoutes } from './routes/extensions.ts';
import { healthRoutes } from './routes/health.ts';
import { jobEventsIn } from './routes/job-events.ts';
import { jobResultIn } from './routes/job-result.ts';
import { jobRoutesIn } from './routes/jobs.ts';
import { jobActionRoutesIn } from './routes/jobs-actions.ts';
import { messageRoutes } from './routes/messages.ts';
import { metricsRoute } from './routes/metrics.ts';
import { getModel, listModels } from './routes/models.ts';
import { notImplemented } from './routes/not-implemented.ts';
import { openApiRoute } from './routes/openapi.ts';
import { policyRoutes } from './routes/policies.ts';
import { policySimulationRoutes } from './routes/policies-simulation.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { usageRoutes } from './routes/usage.ts';

/** All that routes work with; each names the part that it needs. */
export interface RouteNeeds extends GatewayDeps {
  readonly bodyLimits: { readonly inference: BodyLimits; readonly native: BodyLimits };
  readonly metrics: EdgeMetrics;
  readonly lifecycle: Lifecycle;
  readonly openApi: ServedDocument;
}

export const routeTable: readonly Route<RouteNeeds>[] = [
  chatCompletions,
  embeddings,
  listModels,
  getModel,
  decideRoute,
  decisionRoute,
  ...policyRoutes,
  ...policySimulationRoutes,
  breakerResetRoute,
  extensionHealthRoute,
  extensionBreakersRoute,
  ...extensionRoutes,
  ...jobRoutesIn('/api/v1/jobs'),
  ...jobActionRoutesIn('/api/v1/jobs'),
  jobEventsIn('/api/v1/jobs'),
  jobResultIn('/api/v1/jobs'),
  ...messageRoutes,
  ...approvalRoutes,
  ...webhookRoutes,
  ...usageRoutes,
  ...budgetRoutes,
  ...deadLetterRoutes,
  ...deadLetterReplayRoutes,
  ...healthRoutes,
  metricsRoute,
  openApiRoute,
  ...notImplemented,
];
