//! What policies say, and what is refused as one.

mod answers;
mod kept;
mod mistakes;
mod readable;

use std::sync::LazyLock;

use super::*;
use crate::id::{ClassName, OrgId, TenantId, TierName};
use crate::tenant::Context as Tenant;

fn source(name: &str, text: &str) -> Source {
    Source { name: PolicyName::parse(name).unwrap(), text: text.into() }
}

fn policies(sources: &[(&str, &str)]) -> Policies {
    let sources: Vec<Source> = sources.iter().map(|(name, text)| source(name, text)).collect();
    compile(&sources).unwrap()
}

fn tenant(id: &str, tier: &str, attributes: &str) -> Tenant {
    Tenant {
        review_class: 4,
        reviewer_pool: None,
        version: 1,
        tenant: TenantId::parse(id).unwrap(),
        org: OrgId::parse("org").unwrap(),
        tier: TierName::parse(tier).unwrap(),
        weight: 1,
        cap: 1,
        burst: None,
        urgent_share_permille: 0,
        runs_max: 1,
        sla: None,
        budget_class: Some(ClassName::parse("high-volume").unwrap()),
        suspended: false,
        rules: crate::tenant::Rules::default(),
        rules_since: 1,
        attributes: attributes.into(),
    }
}

fn region(name: &str) -> RegionName {
    RegionName::parse(name).unwrap()
}

/// At home in `eu-west-1`.
fn subject(context: &Tenant) -> Subject<'_> {
    static HOME: LazyLock<RegionName> = LazyLock::new(|| region("eu-west-1"));
    Subject { context, region: Some(&HOME) }
}

fn tool(name: &str) -> Ask {
    Ask::CallTool { tool: ToolName::parse(name).unwrap(), region: Some(region("us-east-1")) }
}

fn model(alias: &str, endpoint: &str) -> Ask {
    Ask::UseModel {
        model: ModelName::parse(alias).unwrap(),
        endpoint: ToolName::parse(endpoint).unwrap(),
        upstream: "gpt-x".into(),
        region: None,
    }
}

fn workflow(name: &str, version: u32) -> Ask {
    Ask::StartRun { workflow: WorkflowName::parse(name).unwrap(), version }
}

/// `yes`, or who says no and how.
fn said(answer: Result<(), Denied>) -> String {
    match answer {
        Ok(()) => "yes".to_owned(),
        Err(Denied { policy, because }) => format!("{policy} {because:?}"),
    }
}
