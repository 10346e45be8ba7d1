//! The demo's world: tiers, organisations, institutions, the pool and the loan workflow, declared through the
//! HTTP API as an operator would.

use std::time::Duration;

use anyhow::Context;
use fairlane_client::api::quota::{Budget, BudgetClassSpec, Rule, ToolSpec, Unit};
use fairlane_client::api::resource::{OrgSpec, Policy, PoolSpec, Sla, TenantSpec, TierSpec};
use fairlane_client::{Client, Definition, Write};

use crate::load::declare::{self, pool_defaults, tier_defaults};
use crate::load::fairness::{Shares, TenantShare};
use crate::load::work::LOAN_TASKS;

use super::traffic::work;

pub(crate) const POOL: &str = "loans";
pub(crate) const WORKFLOW: &str = "loan-application";
/// The institution that moves its systems on a Monday.
pub(crate) const BURST_BANK: &str = "monday-bank";
const BURST_CAP: u32 = 20;
/// Five minutes for a decision, at a thousandth of the time.
pub(crate) const SLA: Duration = Duration::from_millis(300);

const DEFINITION: &str = include_str!("loan-application.yaml");
/// The same with what its steps cost, and the bureau that one of them calls.
const PAID_DEFINITION: &str = include_str!("loan-with-bureau.yaml");
const BUREAU: &str = "credit_bureau";
/// What the burst bank may call of the bureau: so many at once, and then so many a second.
pub(crate) const BUREAU_BURST: u32 = 800;
pub(crate) const BUREAU_RATE: u32 = 300;
/// What the bank without money may spend in a month.
pub(crate) const SMALL_BUDGET: &str = "1.00";

/// A tier, how much normal traffic an institution of it has relative to one of the last tier, and how many of ten
/// institutions are in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tier {
    pub(crate) name: &'static str,
    pub(crate) weight: u32,
    pub(crate) cap: u32,
    pub(crate) traffic: u32,
    /// The priority class of its reviews; 0 is served first.
    review_class: u8,
    of_ten: u32,
}

pub(crate) const TIERS: [Tier; 3] = [
    Tier { name: "enterprise", weight: 10, cap: 50, traffic: 6, review_class: 1, of_ten: 1 },
    Tier { name: "standard", weight: 4, cap: 10, traffic: 2, review_class: 2, of_ten: 4 },
    Tier { name: "free", weight: 1, cap: 3, traffic: 1, review_class: 3, of_ten: 5 },
];
/// Position of the burst bank's tier.
const BURST_TIER: usize = 1;
const ORGS: u32 = 8;

/// One institution.
#[derive(Clone, Debug)]
pub(crate) struct Institution {
    pub(crate) id: String,
    pub(crate) org: usize,
    /// Position in [`TIERS`].
    pub(crate) tier: usize,
}

impl Institution {
    /// Nothing but its organisation and its tier.
    pub(crate) fn spec(&self) -> TenantSpec {
        declare::tenant(org_id(self.org), TIERS[self.tier].name)
    }
}

/// All institutions; the burst bank is the last.
#[derive(Clone, Debug)]
pub(crate) struct Town {
    pub(crate) institutions: Vec<Institution>,
    slots: u32,
    /// How many times as long as in the phases work takes, and may take.
    pace: u32,
}

impl Town {
    /// `count` institutions, the burst bank included, and a pool of `slots`.
    pub(crate) fn new(count: u32, slots: u32) -> Self {
        let others = (1..count).map(|number| Institution {
            id: format!("bank-{number:03}"),
            org: (number % ORGS) as usize,
            tier: tier_of(number),
        });
        let burst = Institution { id: BURST_BANK.to_owned(), org: 0, tier: BURST_TIER };
        Self { institutions: others.chain([burst]).collect(), slots, pace: 1 }
    }

    /// Position of the burst bank.
    pub(crate) fn burst(&self) -> usize {
        self.institutions.len() - 1
    }

    /// Position of the bank that will run out of money: the first of the last tier.
    pub(crate) fn broke(&self) -> Option<usize> {
        let others = &self.institutions[..self.burst()];
        others.iter().position(|one| one.tier + 1 == TIERS.len())
    }

    pub(crate) const fn slots(&self) -> u32 {
        self.slots
    }

    pub(crate) fn at_pace(self, pace: u32) -> Self {
        Self { pace, ..self }
    }

    /// Slot time of one application.
    pub(crate) fn work(&self) -> Duration {
        work() * self.pace
    }

    pub(crate) fn cap(&self, institution: usize) -> u32 {
        let own = if institution == self.burst() {
            BURST_CAP
        } else {
            TIERS[self.institutions[institution].tier].cap
        };
        own.min(self.slots)
    }

    /// An organisation's weight is the sum of its members', so that the weight of a tier means the same in each.
    fn org_weights(&self) -> Vec<u32> {
        let mut weights = vec![0; ORGS as usize];
        for institution in &self.institutions {
            weights[institution.org] += TIERS[institution.tier].weight;
        }
        weights
    }

    pub(crate) fn shares(&self) -> Shares {
        let tenants = self.institutions.iter().enumerate().map(|(at, institution)| TenantShare {
            org: institution.org,
            weight: TIERS[institution.tier].weight,
            cap: self.cap(at),
        });
        Shares { slots: self.slots, org_weights: self.org_weights(), tenants: tenants.collect() }
    }

    pub(crate) async fn declare(&self, client: &Client) -> anyhow::Result<()> {
        set_policy(client, self.slots, Policy::Fair).await?;
        let definition = Definition::Yaml(DEFINITION);
        let applied = client.put_workflow(WORKFLOW, definition, Write::Apply).await;
        applied.context("cannot declare the workflow")?;
        for tier in TIERS {
            set_tier(client, tier, SLA * self.pace, None).await?;
        }
        let weights = self.org_weights().into_iter().map(|weight| weight.max(1)).enumerate();
        let orgs =
            weights.map(|(org, weight)| (org_id(org), OrgSpec { weight, cap: None, budget: None }));
        declare::orgs(client, orgs).await?;
        let tenants = self.institutions.iter().enumerate().map(|(at, one)| {
            let cap = (at == self.burst()).then(|| self.cap(at));
            (one.id.clone(), TenantSpec { cap, ..one.spec() })
        });
        declare::tenants(client, tenants).await
    }
}

/// Declares the bureau, and the workflow that calls it.
pub(crate) async fn call_bureau(client: &Client) -> anyhow::Result<()> {
    let tool = ToolSpec::default();
    client.put_tool(BUREAU, &tool, Write::Apply).await.context("cannot declare the bureau")?;
    let definition = Definition::Yaml(PAID_DEFINITION);
    let applied = client.put_workflow(WORKFLOW, definition, Write::Apply).await;
    applied.context("cannot declare the workflow with its costs")?;
    Ok(())
}

/// Declares what applications cost, what the burst bank may call of the bureau, and what one other bank may spend.
pub(crate) async fn limit(client: &Client, town: &Town) -> anyhow::Result<()> {
    call_bureau(client).await?;
    let (units, burst) = (u64::from(BUREAU_RATE), u64::from(BUREAU_BURST));
    let bucket = Rule::Bucket { units, per: "1s".to_owned(), burst, of: Unit::Calls };
    let called = BudgetClassSpec {
        quotas: [(BUREAU.to_owned(), vec![bucket])].into(),
        ..BudgetClassSpec::default()
    };
    let budget = Budget { month: Some(SMALL_BUDGET.into()), ..Budget::default() };
    let spent = BudgetClassSpec { budget, ..BudgetClassSpec::default() };
    let classes = [("contract", called, Some(town.burst())), ("small", spent, town.broke())];
    for (class, spec, bank) in classes {
        let declared = client.put_budget_class(class, &spec, Write::Apply).await;
        declared.with_context(|| format!("cannot declare the budget class {class}"))?;
        let Some(at) = bank else { continue };
        let one = &town.institutions[at];
        let cap = (at == town.burst()).then(|| town.cap(at));
        let spec = TenantSpec { cap, budget_class: Some(class.to_owned()), ..one.spec() };
        let declared = client.put_tenant(&one.id, &spec, Write::Apply).await;
        declared.with_context(|| format!("cannot put {} into the class {class}", one.id))?;
    }
    Ok(())
}

/// Declares the pool under a policy; a change takes effect at once.
pub(crate) async fn set_policy(client: &Client, slots: u32, policy: Policy) -> anyhow::Result<()> {
    let spec = PoolSpec {
        slots,
        policy,
        tasks: Some(LOAN_TASKS.iter().map(|(task, _)| (*task).to_owned()).collect()),
        ..pool_defaults()
    };
    client.put_pool(POOL, &spec, Write::Apply).await.context("cannot declare the pool")?;
    Ok(())
}

/// Declares who decides the reviews of all tiers.
pub(crate) async fn set_reviewers(client: &Client, pool: &str) -> anyhow::Result<()> {
    for tier in TIERS {
        set_tier(client, tier, SLA, Some(pool.to_owned())).await?;
    }
    Ok(())
}

async fn set_tier(
    client: &Client,
    tier: Tier,
    target: Duration,
    reviewer_pool: Option<String>,
) -> anyhow::Result<()> {
    let latency_ms = u64::try_from(target.as_millis()).unwrap_or(u64::MAX);
    let spec = TierSpec {
        weight: tier.weight,
        cap: tier.cap,
        sla: Some(Sla { percentile_permille: 990, latency_ms }),
        reviewer_pool,
        review_class: tier.review_class,
        ..tier_defaults()
    };
    let declared = client.put_tier(tier.name, &spec, Write::Apply).await;
    declared.map(drop).with_context(|| format!("cannot declare the tier {}", tier.name))
}

fn org_id(org: usize) -> String {
    format!("group-{}", org + 1)
}

/// Tiers are dealt out in rounds of ten, so that each organisation has some of each.
fn tier_of(number: u32) -> usize {
    let mut place = (number / ORGS + number) % 10;
    for (tier, Tier { of_ten, .. }) in TIERS.iter().enumerate() {
        if place < *of_ten {
            return tier;
        }
        place -= of_ten;
    }
    TIERS.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_institutions_are_in_all_tiers_and_organisations() {
        let town = Town::new(200, 100);
        assert_eq!(town.institutions.len(), 200);
        let in_tier = |tier| town.institutions.iter().filter(|one| one.tier == tier).count();
        assert_eq!([in_tier(0), in_tier(1), in_tier(2)], [20, 84, 96]);
        assert_eq!(town.shares().tenants[town.burst()].cap, 20);
    }

    #[test]
    fn an_organisation_weighs_as_much_as_its_members() {
        let shares = Town::new(50, 10).shares();
        let members: u32 = shares.tenants.iter().map(|tenant| tenant.weight).sum();
        assert_eq!(shares.org_weights.iter().sum::<u32>(), members);
    }
}
