//! Who and what there is in one simulation: organisations, tiers, tenants, pools and the valve, small and odd.
//!
//! Sizes are kept at a handful, because a bug that needs three tenants and two slots is found far sooner with
//! three tenants and two slots than with hundreds.

use std::collections::BTreeMap;

use fairlane_core::calendar::{Calendar, TimeZone};
use fairlane_core::catalog::{Model, Price};
use fairlane_core::cell::input::Configure;
use fairlane_core::id::{ClassName, OrgId, PoolName, TenantId, TierName};
use fairlane_core::money::Nano;
use fairlane_core::plan::SERVER_POOL;
use fairlane_core::pool::{LongSteps, Policy, Pool, Valve};
use fairlane_core::quota::{Breaker, Budget, BudgetClass, OrgBudget, Rule, Rung, Tool, Unit};
use fairlane_core::review::ReviewerPool;
use fairlane_core::tenant::{Burst, Org, Tenant, Tier};
use fairlane_core::time::Span;

use crate::bounds;
use crate::catalog;
use crate::people;
use crate::plans;
use crate::prng::Prng;
use crate::workload::Workload;

/// Of the worlds that are no crowd, those with people who review.
const PEOPLE_PERMILLE: u32 = 500;

/// What is declared before the first submission.
#[derive(Clone, Debug, Default)]
pub struct Landscape {
    pub orgs: Vec<Org>,
    pub tiers: Vec<Tier>,
    pub tenants: Vec<Tenant>,
    pub pools: Vec<Pool>,
    pub valve: Valve,
    pub tools: Vec<Tool>,
    pub classes: Vec<BudgetClass>,
    pub prices: Vec<Price>,
    pub models: Vec<Model>,
    /// Pools of people; none where nobody reviews.
    pub reviewers: Vec<ReviewerPool>,
    /// Tools are somewhere, and tenants are bound to places.
    pub is_bound: bool,
}

impl Landscape {
    pub fn draw(seed: u64) -> Self {
        let prng = &mut Prng::split(seed, "landscape", 0);
        if Workload::of(seed) == Workload::Crowded {
            return Self::crowded(prng);
        }
        let orgs: Vec<Org> = (0..prng.between(1, 3)).map(|at| org(prng, at)).collect();
        let tiers: Vec<Tier> = (0..prng.between(1, 3)).map(|at| tier(prng, at)).collect();
        let tenants =
            (0..prng.between(1, 5)).map(|at| tenant(prng, at, &orgs, &tiers)).collect::<Vec<_>>();
        let pools = (0..prng.between(1, 2)).map(|at| pool(prng, at)).collect();
        let valve = valve(prng);
        let mut drawn = Self { orgs, tiers, tenants, pools, valve, ..Self::default() };
        if Workload::of(seed) == Workload::Paid {
            drawn.limit(&mut Prng::split(seed, "quotas", 0));
            drawn.price(&mut Prng::split(seed, "catalog", 0));
            drawn.is_bound = bounds::draw(&mut Prng::split(seed, "bounds", 0), &mut drawn);
        }
        let prng = &mut Prng::split(seed, "people", 0);
        if prng.chance(PEOPLE_PERMILLE) {
            people::draw(prng, &mut drawn);
        }
        drawn
    }

    /// Limits on tools, and budgets that do not suffice.
    fn limit(&mut self, prng: &mut Prng) {
        self.tools = (0..catalog::TOOLS).map(|at| tool(prng, at)).collect();
        self.classes = (0..prng.between(1, 2)).map(|at| class(prng, at)).collect();
        for org in &mut self.orgs {
            org.budget = prng.chance(400).then(|| OrgBudget {
                month: Nano::from_cents(prng.between(0, 400)),
                time_zone: TimeZone::UTC,
            });
        }
        for tier in &mut self.tiers {
            tier.budget_class = prng.chance(800).then(|| prng.pick(&self.classes).name.clone());
        }
    }

    /// What the server calls, and its pool.
    fn price(&mut self, prng: &mut Prng) {
        let endpoints = prng.between(1, 3);
        self.tools.extend((0..endpoints).map(|at| catalog::endpoint(prng, at)));
        let prices = prng.between(1, 3);
        self.prices = (0..prices).map(|at| catalog::price(prng, at)).collect();
        let models = (0..prng.between(1, 3))
            .map(|at| catalog::model(prng, at, (endpoints, prices), &self.tiers));
        self.models = models.collect();
        self.pools.push(Pool { name: SERVER_POOL.clone(), ..pool(prng, 0) });
    }

    /// Few slots that several tenants want all the time; no bound but the slots and some caps.
    fn crowded(prng: &mut Prng) -> Self {
        let orgs: Vec<Org> = (0..prng.between(1, 2))
            .map(|at| Org { weight: prng.small(1, 3), cap: None, ..org(prng, at) })
            .collect();
        let (cap, urgent_share_permille) = (8, *prng.pick(&[300, 1_000]));
        let tier =
            Tier { cap, urgent_share_permille, burst: None, runs_max: 1_000, ..tier(prng, 0) };
        let tiers = vec![tier];
        let tenants = (0..prng.between(3, 4))
            .map(|at| Tenant {
                weight: Some(prng.small(1, 5)),
                cap: prng.chance(250).then_some(1),
                ..tenant(prng, at, &orgs, &tiers)
            })
            .collect();
        let pool = Pool {
            slots: prng.small(1, 3),
            policy: if prng.chance(700) { Policy::Fair } else { Policy::Weighted },
            quantum: millis(prng, 1, 30),
            long: None,
            ..pool(prng, 0)
        };
        Self { orgs, tiers, tenants, pools: vec![pool], ..Self::default() }
    }

    /// In an order that the cell accepts: what is referred to comes first.
    pub fn declarations(&self) -> impl Iterator<Item = Configure> {
        let orgs = self.orgs.iter().cloned().map(Configure::Org);
        let tiers = self.tiers.iter().cloned().map(Configure::Tier);
        let tenants = self.tenants.iter().cloned().map(Configure::Tenant);
        let pools = self.pools.iter().cloned().map(Configure::Pool);
        let valve = std::iter::once(Configure::Valve(self.valve.clone()));
        let tools = self.tools.iter().cloned().map(Configure::Tool);
        let classes = self.classes.iter().cloned().map(Configure::Class);
        let prices = self.prices.iter().cloned().map(Configure::Price);
        let models = self.models.iter().cloned().map(Configure::Model);
        let reviewers = self.reviewers.iter().cloned().map(Configure::ReviewerPool);
        let tenants = reviewers.chain(tiers).chain(prices).chain(models).chain(tenants);
        tools.chain(classes).chain(orgs).chain(tenants).chain(pools).chain(valve)
    }
}

/// A tool with a provider that takes only so much.
pub(crate) fn tool(prng: &mut Prng, at: u64) -> Tool {
    let limits = if prng.chance(600) { vec![rule(prng, 20)] } else { Vec::new() };
    // So few failures that a few workers' bad luck opens it.
    let breaker = prng
        .chance(600)
        .then(|| Breaker { failures: prng.small(1, 3), open_for: millis(prng, 100, 3_000) });
    Tool { breaker, ..Tool::new(plans::tool(at), limits) }
}

pub(crate) fn class(prng: &mut Prng, at: u64) -> BudgetClass {
    let mut quotas = BTreeMap::new();
    for at in 0..2 {
        let mut rules: Vec<Rule> = (0..prng.below(3)).map(|_| rule(prng, 8)).collect();
        rules.dedup_by_key(|rule| rule.label());
        quotas.insert(plans::tool(at), rules);
    }
    for at in 0..2 {
        quotas.insert(catalog::endpoint_name(at), catalog::limits(prng, 8));
    }
    let mut amount =
        |permille, most| prng.chance(permille).then(|| Nano::from_cents(prng.between(0, most)));
    let (run, day, month) = (amount(500, 100), amount(400, 300), amount(400, 400));
    let reserve = Nano(run.map_or(0, |run| run.0 / *prng.pick(&[1, 5, 10])));
    let (cheaper, shorter) = (Rung::CheaperModel, Rung::ShorterOutput);
    let rungs = [cheaper, shorter, Rung::SkipOptional, Rung::Escalate, Rung::Pause, Rung::Fail];
    let mut short: Vec<Rung> = (0..prng.below(4)).map(|_| *prng.pick(&rungs)).collect();
    if prng.chance(500) {
        short.insert(0, if prng.chance(600) { cheaper } else { shorter });
    }
    BudgetClass {
        name: ClassName::parse(&format!("class-{at}")).expect("a valid name"),
        quotas,
        budget: Budget { run, reserve, day, month, time_zone: TimeZone::UTC, short },
    }
}

pub(crate) fn rule(prng: &mut Prng, most: u64) -> Rule {
    match prng.below(3) {
        0 => Rule::Window {
            units: prng.between(1, most),
            every: *prng.pick(&[Calendar::Minute, Calendar::Hour]),
            time_zone: TimeZone::UTC,
            of: Unit::Calls,
        },
        1 => Rule::Bucket {
            units: prng.between(1, most),
            per: millis(prng, 100, 5_000),
            burst: prng.between(1, 5),
            of: Unit::Calls,
        },
        _ => Rule::Concurrent { calls: prng.small(1, 3) },
    }
}

/// A number of milliseconds between the two.
pub fn millis(prng: &mut Prng, low: u64, high: u64) -> Span {
    Span::from_millis(prng.between(low, high))
}

pub fn burst(prng: &mut Prng) -> Option<Burst> {
    prng.chance(250)
        .then(|| Burst { extra_slots: prng.small(1, 2), credit: millis(prng, 100, 5_000) })
}

fn org(prng: &mut Prng, at: u64) -> Org {
    Org {
        id: OrgId::parse(&format!("org-{at}")).expect("a valid name"),
        weight: prng.small(1, 10),
        cap: prng.chance(400).then(|| prng.small(1, 6)),
        budget: None,
    }
}

fn tier(prng: &mut Prng, at: u64) -> Tier {
    Tier {
        review_class: 4,
        reviewer_pool: None,
        name: TierName::parse(&format!("tier-{at}")).expect("a valid name"),
        weight: prng.small(1, 10),
        cap: prng.small(1, 5),
        burst: burst(prng),
        urgent_share_permille: *prng.pick(&[0, 300, 1_000]),
        runs_max: *prng.pick(&[2, 8, 1_000]),
        sla: None,
        budget_class: None,
        rules: fairlane_core::tenant::Rules::default(),
    }
}

fn tenant(prng: &mut Prng, at: u64, orgs: &[Org], tiers: &[Tier]) -> Tenant {
    Tenant {
        reviewer_pool: None,
        id: TenantId::parse(&format!("tenant-{at}")).expect("a valid name"),
        org: prng.pick(orgs).id.clone(),
        tier: prng.pick(tiers).name.clone(),
        weight: prng.chance(300).then(|| prng.small(1, 20)),
        cap: prng.chance(500).then(|| prng.small(1, 4)),
        burst: None,
        sla: None,
        budget_class: None,
        rules: fairlane_core::tenant::Rules::default(),
        suspended: false,
        attributes: "{}".into(),
    }
}

pub(crate) fn pool(prng: &mut Prng, at: u64) -> Pool {
    let policies = [Policy::Fair, Policy::Fifo, Policy::RoundRobin, Policy::Weighted];
    Pool {
        name: PoolName::parse(&format!("pool-{at}")).expect("a valid name"),
        slots: prng.small(1, 6),
        policy: if prng.chance(800) { Policy::Fair } else { *prng.pick(&policies) },
        quantum: millis(prng, 1, 500),
        long: prng
            .chance(300)
            .then(|| LongSteps { over: millis(prng, 100, 1_000), share_permille: 500 }),
        lease: millis(prng, 500, 4_000),
        age_guard: millis(prng, 100, 10_000),
        burst_credit_max: millis(prng, 0, 5_000),
        tasks: None,
    }
}

fn valve(prng: &mut Prng) -> Valve {
    let runs_soft = *prng.pick(&[3, 10, 1_000]);
    let bytes_soft = *prng.pick(&[300, 100_000]);
    Valve {
        runs_soft,
        runs_hard: runs_soft + prng.between(0, 10),
        bytes_soft,
        bytes_hard: bytes_soft * 2,
        commit_slow: *prng.pick(&[Span::from_millis(20), Span::from_secs(100)]),
    }
}
