// What the gateway asks about model names; the catalogue answers (gateway 12).

export interface ModelTarget {
  readonly policyId: string;
  /** Undefined leaves the model to the policy. */
  readonly model: string | undefined;
  /** Undefined allows every provider of the policy. */
  readonly providersAllow: readonly string[] | undefined;
}

export interface ListedModel {
  readonly name: string;
  readonly ownedBy: string;
}

export interface ModelNames {
  /** Undefined for a name that the tenant does not have. */
  resolve(tenantId: string, model: string, policyHeader?: string): ModelTarget | undefined;
  list(tenantId: string): readonly ListedModel[];
}
