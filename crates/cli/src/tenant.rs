//! `fairlane tenant`: list, look at, declare, suspend and change tenants.

use clap::{Args, Subcommand};
use fairlane_api::reading::Readings;
use fairlane_api::residency::{Outage, Residency};
use fairlane_api::resource::{self, Applied, TenantSpec, Tier};
use fairlane_client::{Client, Write};
use serde_json::json;

use crate::exit::Usage;
use crate::printer::Printer;
use crate::table::Table;
use crate::target::Target;
use crate::{input, text};

/// List, look at, declare, suspend and change tenants
#[derive(Debug, Args)]
pub(crate) struct Tenant {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all tenants
    List,
    /// Show one tenant: what it may do, and its numbers now
    Get { tenant: String },
    /// Declare a tenant, or change what it is declared to be
    Put(Box<Put>),
    /// Change the cap, weight or tier of a tenant; work that waits follows at once
    Set(Set),
    /// Dispatch no more steps of a tenant, and refuse its new runs
    Suspend { tenant: String },
    /// Legal hold: delete and erase nothing of a tenant, whatever else says so
    Hold { tenant: String },
    /// Take a legal hold back
    Unhold { tenant: String },
    /// Take a suspension back
    Resume { tenant: String },
}

#[derive(Debug, Args)]
struct Put {
    tenant: String,
    /// The organisation; cannot change later
    #[arg(long)]
    org: String,
    #[arg(long)]
    tier: String,
    /// Share against other tenants; the tier's if not given
    #[arg(long)]
    weight: Option<u32>,
    /// Most slots at once; the tier's if not given
    #[arg(long)]
    cap: Option<u32>,
    /// What it may call and spend; the tier's if not given
    #[arg(long, value_name = "CLASS")]
    budget_class: Option<String>,
    /// Where its data may be: a zone of the catalog; where the tier says if neither a zone nor a region is given
    #[arg(long)]
    zone: Option<String>,
    /// A region where its data may be too; can be given several times
    #[arg(long)]
    region: Vec<String>,
    /// A country where its data may be while an adequacy decision on it is in force; can be given several times
    #[arg(long, value_name = "COUNTRY")]
    adequate: Vec<String>,
    /// The only tools that it may use; can be given several times
    #[arg(long, value_name = "TOOL")]
    allow: Vec<String>,
    /// A tool that it may not use; can be given several times
    #[arg(long, value_name = "TOOL")]
    deny: Vec<String>,
    /// Which candidates of models are meant for it; those that the tier has if not given
    #[arg(long, value_name = "TIER")]
    model_tier: Option<String>,
    /// A JSON object that expressions can read: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    attributes: Option<String>,
}

#[derive(Debug, Args)]
struct Set {
    tenant: String,
    #[arg(long)]
    weight: Option<u32>,
    #[arg(long)]
    cap: Option<u32>,
    #[arg(long)]
    tier: Option<String>,
}

impl Tenant {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List => printer.data(&client.tenants().await?, |tenants| list(tenants)),
            Verb::Get { tenant } => {
                let (tenant, readings) =
                    tokio::try_join!(client.tenant(&tenant), client.readings(&tenant))?;
                let document = json!({ "tenant": tenant, "readings": readings });
                printer.data(&document, |_| show(&tenant, &readings))
            }
            Verb::Put(put) => {
                let (tenant, spec) = put.into_spec()?;
                let applied = client.put_tenant(&tenant, &spec, Write::Apply).await?;
                told(printer, &tenant, applied)
            }
            Verb::Set(set) => {
                if set.weight.is_none() && set.cap.is_none() && set.tier.is_none() {
                    let message = "nothing to set: give --cap, --weight or --tier";
                    return Err(Usage(message.to_owned()).into());
                }
                change(&client, printer, &set.tenant, |spec| {
                    spec.weight = set.weight.or(spec.weight);
                    spec.cap = set.cap.or(spec.cap);
                    if let Some(tier) = &set.tier {
                        spec.tier.clone_from(tier);
                    }
                })
                .await
            }
            Verb::Suspend { tenant } => {
                change(&client, printer, &tenant, |spec| spec.suspended = true).await
            }
            Verb::Resume { tenant } => {
                change(&client, printer, &tenant, |spec| spec.suspended = false).await
            }
            Verb::Hold { tenant } => {
                change(&client, printer, &tenant, |spec| spec.legal_hold = Some(true)).await
            }
            Verb::Unhold { tenant } => {
                change(&client, printer, &tenant, |spec| spec.legal_hold = Some(false)).await
            }
        }
    }
}

impl Put {
    fn into_spec(self) -> anyhow::Result<(String, TenantSpec)> {
        let attributes =
            self.attributes.map(|text| input::json("--attributes", &text)).transpose()?;
        let data = Residency { zone: self.zone, regions: self.region, adequate: self.adequate };
        let spec = TenantSpec {
            reviewer_pool: None,
            org: self.org,
            tier: self.tier,
            weight: self.weight,
            cap: self.cap,
            burst: None,
            sla: None,
            budget_class: self.budget_class,
            data_residency: (data != Residency::default()).then_some(data),
            allowed_tools: (!self.allow.is_empty()).then_some(self.allow),
            denied_tools: self.deny,
            model_tier: self.model_tier,
            outage: None,
            audit_retention_days: None,
            payload_retention_days: None,
            review_retention_days: None,
            run_retention_days: None,
            legal_hold: None,
            replan_approval: None,
            suspended: false,
            attributes,
        };
        Ok((self.tenant, spec))
    }
}

/// Reads what a tenant is, changes a part of it, and declares it again.
async fn change(
    client: &Client,
    printer: Printer,
    id: &str,
    change: impl FnOnce(&mut TenantSpec),
) -> anyhow::Result<()> {
    let tenant = client.tenant(id).await?;
    let tier = client.tier(&tenant.tier).await?;
    let mut spec = declared(tenant, &tier);
    change(&mut spec);
    told(printer, id, client.put_tenant(id, &spec, Write::Apply).await?)
}

/// What was declared. A value that is the tier's is left to the tier, so that it goes on following it.
fn declared(tenant: resource::Tenant, tier: &Tier) -> TenantSpec {
    fn own<T: PartialEq>(value: T, of_tier: &T) -> Option<T> {
        (value != *of_tier).then_some(value)
    }
    let denied = tenant.denied_tools.into_iter();
    TenantSpec {
        weight: own(tenant.weight, &tier.weight),
        cap: own(tenant.cap, &tier.cap),
        burst: own(tenant.burst, &tier.burst).flatten(),
        sla: own(tenant.sla, &tier.sla).flatten(),
        budget_class: own(tenant.budget_class, &tier.budget_class).flatten(),
        reviewer_pool: own(tenant.reviewer_pool, &tier.reviewer_pool).flatten(),
        data_residency: own(tenant.data_residency, &tier.data_residency).flatten(),
        allowed_tools: own(tenant.allowed_tools, &tier.allowed_tools).flatten(),
        // Those of the tier are denied without being said again.
        denied_tools: denied.filter(|tool| !tier.denied_tools.contains(tool)).collect(),
        model_tier: own(tenant.model_tier, &tier.model_tier).flatten(),
        outage: own(tenant.outage, &tier.outage).flatten(),
        audit_retention_days: own(tenant.audit_retention_days, &tier.audit_retention_days)
            .flatten(),
        payload_retention_days: own(tenant.payload_retention_days, &tier.payload_retention_days)
            .flatten(),
        review_retention_days: own(tenant.review_retention_days, &tier.review_retention_days)
            .flatten(),
        run_retention_days: own(tenant.run_retention_days, &tier.run_retention_days).flatten(),
        legal_hold: own(tenant.legal_hold, &tier.legal_hold).flatten(),
        replan_approval: own(tenant.replan_approval, &tier.replan_approval).flatten(),
        org: tenant.org,
        tier: tenant.tier,
        suspended: tenant.suspended,
        attributes: Some(tenant.attributes),
    }
}

fn list(tenants: &[resource::Tenant]) -> String {
    let mut table = Table::new(&["TENANT", "ORG", "TIER", ">WEIGHT", ">CAP", "STATE"]);
    for tenant in tenants {
        table.row([
            tenant.id.clone(),
            tenant.org.clone(),
            tenant.tier.clone(),
            tenant.weight.to_string(),
            tenant.cap.to_string(),
            state(tenant.suspended).to_owned(),
        ]);
    }
    table.render()
}

fn show(tenant: &resource::Tenant, readings: &Readings) -> String {
    let burst = tenant.burst.map(|burst| {
        let credit = text::span_ms(burst.credit_ms);
        format!("{} slots above the cap, {credit} of credit", burst.extra_slots)
    });
    let sla = tenant.sla.map(|sla| {
        let percent = f64::from(sla.percentile_permille) / 10.0;
        format!("{percent} % within {}", text::span_ms(sla.latency_ms))
    });
    let latency = readings.latency.map(|latency| {
        let [p50, p95, max] = [latency.p50_us, latency.p95_us, latency.max_us].map(text::span_us);
        format!("p50 {p50}, p95 {p95}, max {max}, of {} runs", latency.count)
    });
    let lines = [
        ("tenant", tenant.id.clone()),
        ("org", tenant.org.clone()),
        ("tier", tenant.tier.clone()),
        ("state", state(tenant.suspended).to_owned()),
        ("weight", tenant.weight.to_string()),
        ("cap", format!("{} slots", tenant.cap)),
        ("burst", text::or_dash(burst)),
        ("urgent", format!("{} % of its service", f64::from(tenant.urgent_share_permille) / 10.0)),
        ("runs", format!("at most {} live", tenant.runs_max)),
        ("sla", text::or_dash(sla)),
        ("class", text::or_dash(tenant.budget_class.clone())),
        ("region", tenant.region.clone()),
        ("data", text::or_dash(tenant.data_residency.as_ref().map(data))),
        (
            "tools",
            tenant
                .allowed_tools
                .as_ref()
                .map_or_else(|| "all".to_owned(), |allowed| names(allowed)),
        ),
        ("denied", names(&tenant.denied_tools)),
        ("models", text::or_dash(tenant.model_tier.as_ref().map(|tier| format!("for {tier}")))),
        ("outage", text::or_dash(tenant.outage.as_ref().map(outage))),
        ("kept", kept(tenant)),
        (
            "replans",
            match tenant.replan_approval {
                Some(true) => "people have to agree".to_owned(),
                Some(false) | None => "as the workflow says".to_owned(),
            },
        ),
        ("version", tenant.version.to_string()),
        ("attributes", tenant.attributes.get().to_owned()),
        ("", String::new()),
        (
            "slots now",
            format!("{}, of them {} above the cap", readings.slots, readings.burst_slots),
        ),
        ("waiting", format!("{} steps", readings.waiting)),
        ("runs now", format!("{} live", readings.live_runs)),
        ("ended", format!("{} completed, {} failed", readings.completed, readings.failed)),
        ("latency", text::or_dash(latency)),
        ("violations", format!("{} runs missed the SLA", readings.sla_violations)),
        ("service", format!("{} of slot time", text::span_us(readings.service_us))),
        ("debt", text::span_us(readings.debt_us)),
        ("attempts", attempts(readings.cross_tenant_attempts)),
    ];
    lines
        .iter()
        .map(|(name, value)| format!("{name:<11} {value}").trim_end().to_owned() + "\n")
        .collect()
}

/// How often it was tried to get at other tenants, which an operator alone is told.
fn attempts(count: Option<u64>) -> String {
    let words = |count| format!("{count} requests named another tenant");
    text::or_dash(count.map(words))
}

/// Where data may be, in words.
fn kept(tenant: &resource::Tenant) -> String {
    let clocks = [
        ("payloads", tenant.payload_retention_days),
        ("reviews", tenant.review_retention_days),
        ("runs", tenant.run_retention_days),
        ("audit", tenant.audit_retention_days),
    ];
    let days = clocks.iter().filter_map(|(what, days)| Some(format!("{what} {} days", (*days)?)));
    let hold =
        (tenant.legal_hold == Some(true)).then(|| "LEGAL HOLD: nothing is deleted".to_owned());
    let all: Vec<String> = hold.into_iter().chain(days).collect();
    if all.is_empty() { "for ever".to_owned() } else { all.join(", ") }
}

fn data(residency: &Residency) -> String {
    let Residency { zone, regions, adequate } = residency;
    let mut places: Vec<String> = zone.iter().map(|zone| format!("in the zone {zone}")).collect();
    if !regions.is_empty() {
        places.push(format!("in {}", regions.join(", ")));
    }
    if !adequate.is_empty() {
        places.push(format!("in {} while adequate", adequate.join(", ")));
    }
    if places.is_empty() { "nowhere".to_owned() } else { places.join("; ") }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn outage(outage: &Outage) -> String {
    let Outage { alternative, wait, then } = outage;
    let first = if *alternative { "goes elsewhere" } else { "goes nowhere else" };
    match wait {
        Some(wait) => format!("{first}, waits {wait}, then: {}", text::word(then)),
        None => format!("{first}, waits as long as it takes"),
    }
}

const fn state(suspended: bool) -> &'static str {
    if suspended { "suspended" } else { "active" }
}

fn told(printer: Printer, tenant: &str, applied: Applied) -> anyhow::Result<()> {
    printer.data(&json!({ "tenant": tenant, "changed": applied.changed }), |_| {
        format!("{tenant} {}", if applied.changed { "changed" } else { "unchanged" })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_tier_goes_on_following_it() {
        let tier: Tier = serde_json::from_value(json!({
            "name": "standard", "weight": 4, "cap": 10, "urgent_share_permille": 500, "runs_max": 9,
            "data_residency": { "zone": "eea" }, "denied_tools": ["mail"]
        }))
        .unwrap();
        let tenant: resource::Tenant = serde_json::from_value(json!({
            "id": "a", "org": "o", "tier": "standard", "version": 2, "weight": 4, "cap": 20,
            "urgent_share_permille": 500, "runs_max": 9, "suspended": true, "attributes": {"x": 1},
            "data_residency": { "zone": "eea" }, "denied_tools": ["bureau", "mail"],
            "allowed_tools": ["crm"], "region": "local"
        }))
        .unwrap();
        let spec = declared(tenant, &tier);
        assert_eq!((spec.weight, spec.cap, spec.suspended), (None, Some(20), true));
        assert_eq!((spec.data_residency, spec.denied_tools), (None, vec!["bureau".to_owned()]));
        assert_eq!(spec.allowed_tools, Some(vec!["crm".to_owned()]));
        assert_eq!(spec.attributes.unwrap().get(), r#"{"x":1}"#);
    }
}
