//! Declarations in numbers: tenants and organisations by the hundred thousand, some at a time.

use anyhow::Context;
use fairlane_client::api::resource::{OrgSpec, PoolSpec, TenantSpec, TierSpec};
use fairlane_client::{Client, Write};
use tokio::task::JoinSet;

/// Declarations under way at once: the server commits those that arrive together in one transaction.
const AT_ONCE: usize = 64;

/// A pool as the API declares it if only its slots are given.
pub(crate) fn pool_defaults() -> PoolSpec {
    serde_json::from_str(r#"{"slots":1}"#).expect("the slots are all that a pool needs")
}

/// A tier as the API declares it if only weight and cap are given.
pub(crate) fn tier_defaults() -> TierSpec {
    serde_json::from_str(r#"{"weight":1,"cap":1}"#)
        .expect("weight and cap are all that a tier needs")
}

/// A tenant that differs in nothing from its tier.
pub(crate) fn tenant(org: impl Into<String>, tier: &str) -> TenantSpec {
    TenantSpec {
        reviewer_pool: None,
        org: org.into(),
        tier: tier.to_owned(),
        weight: None,
        cap: None,
        burst: None,
        sla: None,
        budget_class: None,
        data_residency: None,
        allowed_tools: None,
        denied_tools: Vec::new(),
        model_tier: None,
        outage: None,
        audit_retention_days: None,
        payload_retention_days: None,
        review_retention_days: None,
        run_retention_days: None,
        legal_hold: None,
        replan_approval: None,
        suspended: false,
        attributes: None,
    }
}

pub(crate) async fn orgs(
    client: &Client,
    orgs: impl Iterator<Item = (String, OrgSpec)>,
) -> anyhow::Result<()> {
    each(orgs, |(id, spec)| {
        let client = client.clone();
        async move {
            let declared = client.put_org(&id, &spec, Write::Apply).await;
            declared.map(drop).with_context(|| format!("cannot declare the organisation {id}"))
        }
    })
    .await
}

pub(crate) async fn tenants(
    client: &Client,
    tenants: impl Iterator<Item = (String, TenantSpec)>,
) -> anyhow::Result<()> {
    each(tenants, |(id, spec)| {
        let client = client.clone();
        async move {
            let declared = client.put_tenant(&id, &spec, Write::Apply).await;
            declared.map(drop).with_context(|| format!("cannot declare the tenant {id}"))
        }
    })
    .await
}

/// Does something for each item, at most [`AT_ONCE`] of them at a time.
async fn each<T, Doing>(
    items: impl Iterator<Item = T>,
    act: impl Fn(T) -> Doing,
) -> anyhow::Result<()>
where
    Doing: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut doing = JoinSet::new();
    for item in items {
        doing.spawn(act(item));
        if doing.len() >= AT_ONCE
            && let Some(done) = doing.join_next().await
        {
            done??;
        }
    }
    while let Some(done) = doing.join_next().await {
        done??;
    }
    Ok(())
}
