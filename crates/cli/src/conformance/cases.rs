//! The table: for each operation of the API, how it is asked for what belongs to somebody else.
//!
//! Most follows from the path: who stands in it (`{tenant}`, `{run}`, `{review}`, ..) is put there as A's and as one
//! that does not exist. What else of a request can name a thing (query, header, body) is said here. An operation
//! that is not in the table fails the suite, and so does one in the table that the server does not have.

use super::fixture::Who;

/// An operation, and how it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Method and path, as in `/openapi.json`.
    pub(super) operation: &'static str,
    pub(super) of: Of,
    pub(super) query: &'static str,
    pub(super) body: Option<&'static str>,
    pub(super) also: &'static [Also],
}

/// To whom it belongs what an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The tenant in the path.
    Tenant,
    /// The tenant in the path, who names what it makes: a name that another tenant has is free.
    TenantWhoNames,
    /// The tenant in the path, but an operator alone may ask.
    TenantByOperator,
    /// The run that a review is of: its tenant's, and that of the reviewers who may decide it.
    Review,
    /// The same, but only a reviewer may ask.
    ReviewByReviewer,
    /// The platform: an operator alone may ask.
    Operator,
    /// All tenants, alike.
    Everyone,
    /// Everybody, without a key.
    Anybody,
    /// Whoever the request names besides its path: only `also` says how it is asked.
    Named,
}

/// One more request, of which one placeholder is A's or does not exist, and all others are the asker's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Also {
    pub(super) who: Who,
    pub(super) vary: &'static str,
    pub(super) query: &'static str,
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) body: Option<&'static str>,
    /// It succeeds for both, and makes something new: ids and times in the answers are new ones.
    pub(super) is_fresh: bool,
}

const fn case(operation: &'static str, of: Of) -> Case {
    Case { operation, of, query: "", body: None, also: &[] }
}

impl Case {
    const fn body(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    const fn also(self, also: &'static [Also]) -> Self {
        Self { also, ..self }
    }

    /// The names in the path between braces.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = &'static str> {
        self.operation
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(|(name, _)| name)
    }
}

/// Parameters of queries and headers that name nothing of any tenant's.
const HARMLESS: [&str; 15] = [
    "claimed", "dry_run", "every", "from", "lane", "limit", "periods", "region", "sequence",
    "state", "status", "until", "version", "wait_ms", "workflow",
];

impl Case {
    /// Whether a parameter of a query or header is tried, or need not be.
    pub(super) fn tries(&self, parameter: &str) -> bool {
        // Lists that are refused, or the same for all, have no places of anybody's.
        let is_alike = matches!(self.of, Of::Operator | Of::Everyone);
        HARMLESS.contains(&parameter)
            || matches!(parameter, "cursor" | "after") && is_alike
            || self.also.iter().any(|also| {
                let is_in_query = also
                    .query
                    .split('&')
                    .any(|part| part.split_once('=').is_some_and(|(name, _)| name == parameter));
                is_in_query
                    || also.header.is_some_and(|(name, _)| name.eq_ignore_ascii_case(parameter))
            })
    }
}

const fn also(who: Who, vary: &'static str) -> Also {
    Also { who, vary, query: "", header: None, body: None, is_fresh: false }
}

impl Also {
    const fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    const fn header(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    const fn body(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn fresh(self) -> Self {
        Self { is_fresh: true, ..self }
    }
}

/// Names the tenant that models are called for.
pub(super) const TENANT_HEADER: &str = "x-fairlane-tenant";
const PROMPT: &str = r#"{"model":"conformance","messages":[{"role":"user","content":"x"}]}"#;
const TEXTS: &str = r#"{"model":"conformance","input":"x"}"#;

/// Calls of models in the name of A.
const FOR_MODELS: &[Also] = &[
    also(Who::Tenant, "tenant").header(TENANT_HEADER, "{tenant}"),
    also(Who::Worker, "tenant").header(TENANT_HEADER, "{tenant}"),
    also(Who::Stranger, "tenant").header(TENANT_HEADER, "{tenant}"),
    also(Who::Nobody, "tenant").header(TENANT_HEADER, "{tenant}"),
];

/// A header that is not this operation's must not change whose rows are read.
const BY_HEADER: Also = also(Who::Tenant, "tenant").header(TENANT_HEADER, "{tenant}");

const HEARTBEAT: &str = r#"{"worker":"conformance","pool":"{pool}","slots":1,
    "report":[{"lease":"{lease}","heartbeat":{}}]}"#;

/// Reports of A's lease by those who do not hold it, and a pool that is not the worker's.
const REPORTS: &[Also] = &[
    also(Who::Worker, "lease").body(HEARTBEAT),
    also(Who::Worker, "lease").body(
        r#"{"worker":"other","pool":"{pool}","slots":1,
            "report":[{"lease":"{lease}","heartbeat":{}}]}"#,
    ),
    also(Who::Worker, "lease").body(
        r#"{"worker":"conformance","pool":"{pool}","slots":1,
            "report":[{"lease":"{lease}","completed":{"output":1}}]}"#,
    ),
    also(Who::Worker, "lease").body(
        r#"{"worker":"conformance","pool":"{pool}","slots":1,
            "report":[{"lease":"{lease}","failed":{"class":"x"}}]}"#,
    ),
    also(Who::Worker, "pool")
        .body(r#"{"worker":"conformance","pool":"{pool}","slots":1,"want":1}"#),
    also(Who::Tenant, "lease").body(HEARTBEAT),
    also(Who::Stranger, "lease").body(HEARTBEAT),
];

const DECIDE: &str = r#"{"fence":"{fence}","digest":"{digest}","outcome":"approved"}"#;
const DECIDE_ALL: &str = r#"{"decisions":[
    {"review":"{review}","fence":"{fence}","digest":"{digest}","outcome":"approved"}]}"#;
const CHANNEL: &str = r#"{"webhook":{"url":"https://conformance.invalid/"},
    "events":["run.failed"],"disabled":true}"#;
const FENCE: &str = r#"{"fence":"{fence}"}"#;
const DRY_RUN: &str = "dry_run=true";

/// What is asked of whom; what ends something stands last, since the owner is asked in this order at the end.
pub(super) const CASES: &[Case] = &[
    case("GET /healthz", Of::Anybody),
    case("GET /readyz", Of::Anybody),
    case("GET /v1/sign-in", Of::Anybody),
    // It says who asks, whatever else is named.
    case("GET /v1/me", Of::Everyone),
    // Tenants.
    case("GET /v1/tenants/{tenant}", Of::Tenant),
    case("GET /v1/tenants/{tenant}/readings", Of::Tenant).also(&[BY_HEADER]),
    case("GET /v1/tenants/{tenant}/decisions", Of::Tenant)
        .also(&[BY_HEADER, also(Who::Tenant, "sequence").query("cursor={sequence}")]),
    case("POST /v1/tenants/{tenant}/audit/close", Of::Tenant).also(&[BY_HEADER]),
    case("GET /v1/tenants/{tenant}/audit", Of::Tenant)
        .also(&[BY_HEADER, also(Who::Tenant, "sequence").query("after={sequence}")]),
    case("GET /v1/tenants/{tenant}/audit/proof", Of::Tenant).query("sequence=1").also(&[BY_HEADER]),
    case("GET /v1/tenants/{tenant}/limits", Of::Tenant).also(&[BY_HEADER]),
    case("GET /v1/tenants/{tenant}/budgets", Of::Tenant).also(&[BY_HEADER]),
    case("GET /v1/tenants/{tenant}/usage", Of::Tenant).also(&[BY_HEADER]),
    case("GET /v1/tenants/{tenant}/arrivals", Of::Tenant)
        .query("from=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z")
        .also(&[
            BY_HEADER,
            also(Who::Tenant, "run")
                .query("from=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z&cursor={run}"),
        ]),
    case("GET /v1/tenants/{tenant}/calls", Of::Tenant).also(&[
        BY_HEADER,
        also(Who::Tenant, "run").query("run={run}"),
        also(Who::Tenant, "sequence").query("cursor={sequence}"),
    ]),
    case("PUT /v1/tenants/{tenant}", Of::TenantByOperator)
        .query(DRY_RUN)
        .body(r#"{"org":"{org}","tier":"{tier}"}"#),
    case("PUT /v1/tenants/{tenant}/budgets/{every}", Of::TenantByOperator)
        .body(r#"{"topped_up":1}"#),
    // Channels and notices.
    case("GET /v1/tenants/{tenant}/channels", Of::Tenant)
        .also(&[BY_HEADER, also(Who::Tenant, "channel").query("cursor={channel}")]),
    case("GET /v1/tenants/{tenant}/channels/{channel}", Of::Tenant),
    case("GET /v1/tenants/{tenant}/notices", Of::Tenant).also(&[
        BY_HEADER,
        also(Who::Tenant, "channel").query("channel={channel}"),
        also(Who::Tenant, "notice").query("cursor={notice}"),
    ]),
    case("PUT /v1/tenants/{tenant}/channels/{channel}", Of::TenantWhoNames)
        .query(DRY_RUN)
        .body(CHANNEL)
        .also(&[also(Who::Tenant, "channel").query(DRY_RUN).body(CHANNEL)]),
    case("POST /v1/tenants/{tenant}/notices/{notice}/redeliver", Of::Tenant),
    case("POST /v1/tenants/{tenant}/channels/{channel}/test", Of::Tenant),
    case("POST /v1/tenants/{tenant}/channels/{channel}/rotate", Of::Tenant),
    case("DELETE /v1/tenants/{tenant}/channels/{channel}", Of::Tenant),
    // Erasures.
    case("GET /v1/tenants/{tenant}/erasures", Of::Tenant)
        .also(&[BY_HEADER, also(Who::Tenant, "erasure").query("cursor={erasure}")]),
    case("GET /v1/tenants/{tenant}/erasures/{erasure}", Of::Tenant),
    case("POST /v1/tenants/{tenant}/erasures", Of::Tenant)
        .body(r#"{"subject":"nobody"}"#)
        .also(&[also(Who::Tenant, "run").body(r#"{"run":"{run}"}"#)]),
    // Reviews.
    case("GET /v1/reviews", Of::Named).also(&[
        also(Who::Tenant, "review_cursor").query("cursor={review_cursor}"),
        also(Who::Stranger, "review_cursor").query("cursor={review_cursor}"),
        also(Who::Stranger, "review_cursor").query("cursor={review_cursor}&claimed=true"),
        BY_HEADER,
    ]),
    case("GET /v1/reviews/{review}", Of::Review),
    case("POST /v1/reviews/{review}/comment", Of::Review).body(r#"{"text":"x"}"#),
    case("POST /v1/reviews/{review}/escalate", Of::Review).body(FENCE),
    case("POST /v1/reviews/{review}/reassign", Of::Review)
        .body(r#"{"to":"{person}","fence":"{fence}"}"#),
    case("POST /v1/reviews/next", Of::Named).also(&[
        also(Who::Stranger, "reviewers").body(r#"{"pool":"{reviewers}"}"#),
        also(Who::Tenant, "reviewers").body(r#"{"pool":"{reviewers}"}"#),
    ]),
    case("POST /v1/reviews/{review}/claim", Of::ReviewByReviewer),
    case("POST /v1/reviews/{review}/release", Of::ReviewByReviewer).body(FENCE),
    case("POST /v1/reviews/{review}/decide", Of::ReviewByReviewer).body(DECIDE),
    case("POST /v1/reviews/decide", Of::Named).also(&[
        also(Who::Stranger, "review").body(DECIDE_ALL),
        also(Who::Tenant, "review").body(DECIDE_ALL),
    ]),
    case("POST /v1/reviews/{review}/break-glass", Of::Operator)
        .body(r#"{"person":"{person}","reason":"x","digest":"{digest}","outcome":"approved"}"#),
    // Workers and models.
    case("POST /v1/worker/exchange", Of::Named).also(REPORTS),
    case("POST /v1/chat/completions", Of::Named).body(PROMPT).also(FOR_MODELS),
    case("POST /v1/embeddings", Of::Named).body(TEXTS).also(FOR_MODELS),
    case("GET /v1/models", Of::Everyone).also(FOR_MODELS),
    case("GET /v1/models/{model}", Of::Named).also(FOR_MODELS),
    // Runs.
    case("GET /v1/tenants/{tenant}/runs", Of::Tenant).also(&[
        BY_HEADER,
        also(Who::Tenant, "run").query("cursor={run}"),
        also(Who::Tenant, "run").query("cursor={run}&limit=1"),
    ]),
    case("GET /v1/tenants/{tenant}/runs/{run}", Of::Tenant),
    case("GET /v1/tenants/{tenant}/runs/{run}/explain", Of::Tenant),
    case("GET /v1/tenants/{tenant}/runs/{run}/output", Of::Tenant),
    case("GET /v1/tenants/{tenant}/runs/{run}/events", Of::Tenant).also(&[also(
        Who::Tenant,
        "run",
    )
    .header("last-event-id", "1")]),
    case("POST /v1/tenants/{tenant}/runs", Of::Tenant).body(r#"{"workflow":"{short}"}"#).also(&[
        also(Who::Tenant, "submission")
            .header("idempotency-key", "{submission}")
            .body(r#"{"workflow":"{short}"}"#)
            .fresh(),
        also(Who::Tenant, "tenant")
            .header(TENANT_HEADER, "{tenant}")
            .body(r#"{"workflow":"{short}"}"#)
            .fresh(),
    ]),
    case("POST /v1/tenants/{tenant}/runs:batch", Of::Tenant)
        .body(r#"{"runs":[{"workflow":"{short}"}]}"#)
        .also(&[also(Who::Tenant, "batched")
            .body(r#"{"runs":[{"workflow":"{short}","idempotency_key":"{batched}"}]}"#)
            .fresh()]),
    case("PUT /v1/tenants/{tenant}/runs/{run}/budget", Of::TenantByOperator).body(r#"{"limit":1}"#),
    case("POST /v1/tenants/{tenant}/runs/{run}/pause", Of::Tenant),
    case("POST /v1/tenants/{tenant}/runs/{run}/resume", Of::Tenant),
    case("POST /v1/tenants/{tenant}/runs/{run}/signals/{signal}", Of::Tenant).body("1").also(&[
        also(Who::Tenant, "signalled").header("idempotency-key", "{signalled}").body("1").fresh(),
    ]),
    case("POST /v1/tenants/{tenant}/runs/{run}/resolve", Of::Tenant)
        .body(r#"{"cheaper_model":true}"#),
    case("POST /v1/tenants/{tenant}/runs/{run}/retry", Of::Tenant),
    case("POST /v1/tenants/{tenant}/runs/{run}/cancel", Of::Tenant),
    // What is the same for all tenants.
    case("GET /v1/workflows", Of::Everyone).query("limit=1000"),
    case("GET /v1/workflows/{workflow}", Of::Everyone),
    // The platform.
    case("PUT /v1/workflows/{workflow}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/tenants", Of::Operator)
        .also(&[also(Who::Tenant, "tenant").query("cursor={tenant}")]),
    case("GET /v1/orgs", Of::Operator).also(&[also(Who::Tenant, "org").query("cursor={org}")]),
    case("GET /v1/orgs/{org}", Of::Operator),
    case("PUT /v1/orgs/{org}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/orgs/{org}/budgets", Of::Operator),
    case("PUT /v1/orgs/{org}/budgets/month", Of::Operator).body(r#"{"topped_up":1}"#),
    case("GET /v1/tiers", Of::Operator),
    case("GET /v1/tiers/{tier}", Of::Operator),
    case("PUT /v1/tiers/{tier}", Of::Operator).query(DRY_RUN).body(r#"{"weight":1,"cap":1}"#),
    case("GET /v1/budget-classes", Of::Operator),
    case("GET /v1/budget-classes/{class}", Of::Operator),
    case("PUT /v1/budget-classes/{class}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/catalog/adequacy", Of::Operator),
    case("GET /v1/catalog/adequacy/{country}", Of::Operator),
    case("PUT /v1/catalog/adequacy/{country}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/catalog/models", Of::Operator),
    case("GET /v1/catalog/models/{model}", Of::Operator),
    case("PUT /v1/catalog/models/{model}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/catalog/policies", Of::Operator),
    case("GET /v1/catalog/policies/{policy}", Of::Operator),
    case("PUT /v1/catalog/policies/{policy}", Of::Operator).query(DRY_RUN).body("{}"),
    case("DELETE /v1/catalog/policies/{policy}", Of::Operator).query(DRY_RUN),
    case("GET /v1/catalog/policy-schema", Of::Operator),
    case("GET /v1/catalog/prices", Of::Operator),
    case("GET /v1/catalog/prices/{price}", Of::Operator),
    case("PUT /v1/catalog/prices/{price}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/catalog/regions", Of::Operator),
    case("GET /v1/catalog/regions/{region}", Of::Operator),
    case("PUT /v1/catalog/regions/{region}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/catalog/reviewer-pools", Of::Operator),
    case("GET /v1/catalog/reviewer-pools/{pool}", Of::Operator),
    case("PUT /v1/catalog/reviewer-pools/{pool}", Of::Operator)
        .query(DRY_RUN)
        .body(r#"{"tenant":"{tenant}"}"#),
    case("GET /v1/catalog/tools", Of::Operator),
    case("GET /v1/catalog/tools/{tool}", Of::Operator),
    case("PUT /v1/catalog/tools/{tool}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/catalog/tools/{tool}/limits", Of::Operator),
    case("GET /v1/catalog/zones", Of::Operator),
    case("GET /v1/catalog/zones/{zone}", Of::Operator),
    case("PUT /v1/catalog/zones/{zone}", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/audit-key", Of::Everyone),
    case("GET /v1/platform/audit", Of::Operator).query("after=0"),
    case("GET /v1/platform/audit/proof", Of::Operator).query("sequence=1"),
    case("POST /v1/platform/audit/close", Of::Operator),
    case("GET /v1/platform/decisions", Of::Operator),
    case("GET /v1/platform/overview", Of::Operator),
    case("GET /metrics", Of::Operator),
    case("GET /v1/platform/pools", Of::Operator),
    case("GET /v1/platform/pools/{pool}", Of::Operator),
    case("PUT /v1/platform/pools/{pool}", Of::Operator).query(DRY_RUN).body(r#"{"slots":1}"#),
    case("GET /v1/platform/reports/budgets", Of::Operator),
    case("GET /v1/platform/reports/residency", Of::Operator),
    case("GET /v1/platform/reports/workflows", Of::Operator)
        .also(&[also(Who::Tenant, "tenant").query("tenant={tenant}")]),
    case("GET /v1/platform/tenants", Of::Operator)
        .also(&[also(Who::Tenant, "tenant").query("cursor={tenant}")]),
    case("GET /v1/platform/root-key", Of::Operator),
    case("POST /v1/platform/root-key/rotate", Of::Operator),
    case("POST /v1/platform/tenants/{tenant}/key/rotate", Of::Operator),
    case("GET /v1/platform/valve", Of::Operator),
    case("PUT /v1/platform/valve", Of::Operator).query(DRY_RUN).body("{}"),
    case("GET /v1/platform/keys", Of::Operator)
        .also(&[also(Who::Tenant, "key").query("cursor={key}")]),
    case("POST /v1/platform/keys", Of::Operator)
        .body(r#"{"role":"tenant","tenant":"{tenant}"}"#)
        .also(&[
            also(Who::Tenant, "tenant").body(r#"{"role":"tenant","tenant":"{tenant}"}"#),
            also(Who::Tenant, "tenant").body(r#"{"role":"worker","tenants":["{tenant}"]}"#),
        ]),
    case("DELETE /v1/platform/keys/{key}", Of::Operator),
];
