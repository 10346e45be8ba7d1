//! The operator: changes what is declared while everything runs, sometimes to something that is not allowed.

use std::sync::Arc;

use fairlane_core::calendar::Calendar;
use fairlane_core::cell::input::{Configure, SetAccount};
use fairlane_core::id::PoolName;
use fairlane_core::money::Nano;
use fairlane_core::plan::Workflow;
use fairlane_core::pool::{Policy, Pool};
use fairlane_core::quota::Tool;
use fairlane_core::row::Owner;
use fairlane_core::tenant::{Org, Tenant, Tier};
use fairlane_core::time::Span;

use crate::bounds;
use crate::catalog;
use crate::landscape::{self, Landscape, burst, millis};
use crate::people;
use crate::plans;
use crate::prng::Prng;
use crate::workload::Workload;

#[derive(Debug)]
pub struct Operator {
    prng: Prng,
    /// For changes of bounds, and of people.
    bounds: Prng,
    people: Prng,
    workload: Workload,
    landscape: Landscape,
    plans: Vec<Arc<Workflow>>,
    /// Some operators never change anything.
    is_busy: bool,
    /// A pool that was not there from the beginning.
    opened: Option<PoolName>,
}

impl Operator {
    pub fn new(seed: u64, landscape: Landscape, plans: Vec<Arc<Workflow>>) -> Self {
        let mut prng = Prng::split(seed, "operator", 0);
        let is_busy = prng.chance(600);
        let bounds = Prng::split(seed, "bounds changed", 0);
        let people = Prng::split(seed, "people changed", 0);
        Self {
            prng,
            bounds,
            people,
            workload: Workload::of(seed),
            landscape,
            plans,
            is_busy,
            opened: None,
        }
    }

    /// Time until it acts; `None`: never.
    pub fn gap(&mut self) -> Option<Span> {
        let most = if self.workload == Workload::Crowded { 1_000 } else { 5_000 };
        self.is_busy.then(|| millis(&mut self.prng, 200, most))
    }

    /// A changed declaration.
    pub fn act(&mut self) -> Configure {
        if self.landscape.is_bound && self.bounds.chance(300) {
            return bounds::change(&mut self.bounds, &mut self.landscape);
        }
        if !self.landscape.reviewers.is_empty() && self.people.chance(150) {
            return people::change(&mut self.people, &mut self.landscape);
        }
        let prng = &mut self.prng;
        if self.workload == Workload::Paid && prng.chance(500) {
            return price(prng, &mut self.landscape);
        }
        let Landscape { orgs, tiers, tenants, pools, valve, .. } = &mut self.landscape;
        match prng.below(100) {
            what if self.workload == Workload::Crowded => {
                if what < 10 {
                    Configure::Org(Org { cap: None, ..reform_org(prng, orgs) })
                } else {
                    Configure::Tenant(reform_tenant(prng, tenants, tiers, orgs))
                }
            }
            // A new pool, or the next version of a workflow that uses it.
            what @ 80..90 => {
                let at = self.plans.iter().find(|plan| plan.schedules.is_empty());
                match (&self.opened, at) {
                    (Some(pool), Some(plan)) if what > 83 => {
                        Configure::Workflow(plans::moved(plan, pool).into())
                    }
                    (Some(name), _) => {
                        let known = pools.iter().find(|pool| pool.name == *name);
                        Configure::Pool(known.expect("what was opened is known").clone())
                    }
                    (None, _) => {
                        let pool = landscape::pool(prng, pools.len() as u64);
                        self.opened = Some(pool.name.clone());
                        pools.push(pool.clone());
                        Configure::Pool(pool)
                    }
                }
            }
            0..20 => Configure::Org(reform_org(prng, orgs)),
            20..35 => Configure::Tier(reform_tier(prng, tiers)),
            35..75 => Configure::Tenant(reform_tenant(prng, tenants, tiers, orgs)),
            75..80 => Configure::Pool(reform_pool(prng, pools)),
            _ => {
                valve.runs_soft = prng.between(1, 20);
                valve.runs_hard = valve.runs_soft + prng.between(0, 10);
                Configure::Valve(valve.clone())
            }
        }
    }
}

/// Limits, budgets, and what the server calls at which price.
fn price(prng: &mut Prng, landscape: &mut Landscape) -> Configure {
    let Landscape { orgs, tiers, tenants, tools, classes, prices, models, .. } = landscape;
    let endpoints = tools.len() as u64 - catalog::TOOLS;
    match prng.below(100) {
        0..20 => Configure::Account(account(prng, tenants, orgs)),
        20..40 => {
            let at = prng.index(classes.len());
            classes[at] = landscape::class(prng, at as u64);
            Configure::Class(classes[at].clone())
        }
        40..60 => {
            let at = prng.index(tools.len());
            let location = tools[at].location.clone();
            tools[at] = match (at as u64).checked_sub(catalog::TOOLS) {
                Some(endpoint) => catalog::endpoint(prng, endpoint),
                None => landscape::tool(prng, at as u64),
            };
            tools[at].location = location;
            let tool = tools[at].clone();
            Configure::Tool(if prng.chance(50) { Tool { endpoint: None, ..tool } } else { tool })
        }
        60..80 => {
            let at = prng.index(models.len());
            // Sometimes for a price that there is not.
            let known = prices.len() as u64 + u64::from(prng.chance(50));
            models[at] = catalog::model(prng, at as u64, (endpoints, known), tiers);
            Configure::Model(models[at].clone())
        }
        _ => {
            let at = prng.index(prices.len());
            prices[at] = catalog::price(prng, at as u64);
            Configure::Price(prices[at].clone())
        }
    }
}

/// A top-up, or debt let off.
fn account(prng: &mut Prng, tenants: &[Tenant], orgs: &[Org]) -> SetAccount {
    let owner = match prng.below(3) {
        0 => Owner::Org(prng.pick(orgs).id.clone()),
        _ => Owner::Tenant(prng.pick(tenants).id.clone()),
    };
    let every = *prng.pick(&[Calendar::Day, Calendar::Month]);
    let mut amount = || Nano::from_cents(prng.between(0, 50));
    SetAccount { owner, every, topped_up: amount(), forgiven: amount() }
}

fn reform_org(prng: &mut Prng, orgs: &mut [Org]) -> Org {
    let at = prng.index(orgs.len());
    let org = &mut orgs[at];
    org.weight = prng.small(1, 10);
    org.cap = prng.chance(500).then(|| prng.small(1, 6));
    if prng.chance(50) { Org { weight: 0, ..org.clone() } } else { org.clone() }
}

fn reform_tier(prng: &mut Prng, tiers: &mut [Tier]) -> Tier {
    let at = prng.index(tiers.len());
    let tier = &mut tiers[at];
    tier.weight = prng.small(1, 10);
    tier.cap = prng.small(1, 5);
    tier.burst = burst(prng);
    tier.runs_max = *prng.pick(&[1, 5, 1_000]);
    if prng.chance(50) { Tier { cap: 0, ..tier.clone() } } else { tier.clone() }
}

fn reform_tenant(prng: &mut Prng, tenants: &mut [Tenant], tiers: &[Tier], orgs: &[Org]) -> Tenant {
    let at = prng.index(tenants.len());
    let tenant = &mut tenants[at];
    match prng.below(5) {
        0 => tenant.suspended = !tenant.suspended,
        1 => tenant.cap = prng.chance(800).then(|| prng.small(1, 5)),
        2 => tenant.weight = prng.chance(800).then(|| prng.small(1, 20)),
        3 => tenant.org = prng.pick(orgs).id.clone(),
        _ => tenant.tier = prng.pick(tiers).name.clone(),
    }
    if prng.chance(50) { Tenant { cap: Some(0), ..tenant.clone() } } else { tenant.clone() }
}

fn reform_pool(prng: &mut Prng, pools: &mut [Pool]) -> Pool {
    let at = prng.index(pools.len());
    let pool = &mut pools[at];
    pool.slots = prng.small(1, 6);
    pool.quantum = millis(prng, 1, 500);
    if prng.chance(200) {
        let policies = [Policy::Fair, Policy::Fifo, Policy::RoundRobin, Policy::Weighted];
        pool.policy = *prng.pick(&policies);
    }
    if prng.chance(50) { Pool { lease: Span::ZERO, ..pool.clone() } } else { pool.clone() }
}
