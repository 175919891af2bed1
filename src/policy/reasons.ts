// Why a provider was taken (policy 6): the priority that goes with each reason, and whether it counts as a fallback.

export const REASONS = {
  sticky: { priority: 100, fallbackUsed: false },
  weighted: { priority: 50, fallbackUsed: false },
  priority: { priority: 50, fallbackUsed: false },
  latency: { priority: 50, fallbackUsed: false },
  cost: { priority: 50, fallbackUsed: false },
  least_busy: { priority: 50, fallbackUsed: false },
  canary: { priority: 50, fallbackUsed: false },
  retry: { priority: 50, fallbackUsed: false },
  failover: { priority: 40, fallbackUsed: true },
  escalated: { priority: 30, fallbackUsed: true },
  fallback: { priority: 25, fallbackUsed: true },
  circuit_breaker_fallback: { priority: 20, fallbackUsed: true },
} as const satisfies Record<string, { readonly priority: number; readonly fallbackUsed: boolean }>;

export type Reason = keyof typeof REASONS;
