// Changing a part of what a tenant is. The API takes the whole of what was declared, and shows a tenant with what its
// tier fills in: what is the tier's is left to the tier, so that it goes on following it.

import { api, ask } from "./client";
import type { Tenant, TenantSpec, Tier } from "./schema";

/// What a tenant has of its tier unless it says otherwise.
const INHERITED = [
  "weight",
  "cap",
  "burst",
  "sla",
  "budget_class",
  "reviewer_pool",
  "data_residency",
  "allowed_tools",
  "model_tier",
  "outage",
  "audit_retention_days",
  "payload_retention_days",
  "review_retention_days",
  "run_retention_days",
  "legal_hold",
  "replan_approval",
] as const satisfies readonly (keyof TenantSpec & keyof Tenant & keyof Tier)[];

export async function changeTenant(id: string, change: Partial<TenantSpec>): Promise<void> {
  const path = { tenant: id };
  const tenant = await ask(api.GET("/v1/tenants/{tenant}", { params: { path } }));
  const tier = await ask(api.GET("/v1/tiers/{tier}", { params: { path: { tier: tenant.tier } } }));
  const body = { ...declared(tenant, tier), ...change };
  await ask(api.PUT("/v1/tenants/{tenant}", { params: { path }, body }));
}

function declared(tenant: Tenant, tier: Tier): TenantSpec {
  const own = INHERITED.filter((field) => JSON.stringify(tenant[field]) !== JSON.stringify(tier[field]));
  const denied = (tenant.denied_tools ?? []).filter((tool) => !(tier.denied_tools ?? []).includes(tool));
  return {
    ...Object.fromEntries(own.map((field) => [field, tenant[field]])),
    org: tenant.org,
    tier: tenant.tier,
    denied_tools: denied,
    suspended: tenant.suspended,
    attributes: tenant.attributes,
  };
}
