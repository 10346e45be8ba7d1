//! Who and what there is in one simulation: organisations, tiers, tenants, pools and the valve, small and odd.
//!
//! Sizes are kept at a handful, because a bug that needs three tenants and two slots is found far sooner with
//! three tenants and two slots than with hundreds.

use fairlane_core::cell::input::Configure;
use fairlane_core::id::{OrgId, PoolName, TenantId, TierName};
use fairlane_core::pool::{LongSteps, Policy, Pool, Valve};
use fairlane_core::tenant::{Burst, Org, Tenant, Tier};
use fairlane_core::time::Span;

use crate::prng::Prng;
use crate::workload::Workload;

/// What is declared before the first submission.
#[derive(Clone, Debug)]
pub struct Landscape {
    pub orgs: Vec<Org>,
    pub tiers: Vec<Tier>,
    pub tenants: Vec<Tenant>,
    pub pools: Vec<Pool>,
    pub valve: Valve,
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
        Self { orgs, tiers, tenants, pools, valve }
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
        Self { orgs, tiers, tenants, pools: vec![pool], valve: Valve::default() }
    }

    /// In an order that the cell accepts: what is referred to comes first.
    pub fn declarations(&self) -> impl Iterator<Item = Configure> {
        let orgs = self.orgs.iter().cloned().map(Configure::Org);
        let tiers = self.tiers.iter().cloned().map(Configure::Tier);
        let tenants = self.tenants.iter().cloned().map(Configure::Tenant);
        let pools = self.pools.iter().cloned().map(Configure::Pool);
        let valve = std::iter::once(Configure::Valve(self.valve.clone()));
        orgs.chain(tiers).chain(tenants).chain(pools).chain(valve)
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
    }
}

fn tier(prng: &mut Prng, at: u64) -> Tier {
    Tier {
        name: TierName::parse(&format!("tier-{at}")).expect("a valid name"),
        weight: prng.small(1, 10),
        cap: prng.small(1, 5),
        burst: burst(prng),
        urgent_share_permille: *prng.pick(&[0, 300, 1_000]),
        runs_max: *prng.pick(&[2, 8, 1_000]),
        sla: None,
    }
}

fn tenant(prng: &mut Prng, at: u64, orgs: &[Org], tiers: &[Tier]) -> Tenant {
    Tenant {
        id: TenantId::parse(&format!("tenant-{at}")).expect("a valid name"),
        org: prng.pick(orgs).id.clone(),
        tier: prng.pick(tiers).name.clone(),
        weight: prng.chance(300).then(|| prng.small(1, 20)),
        cap: prng.chance(500).then(|| prng.small(1, 4)),
        burst: None,
        sla: None,
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
