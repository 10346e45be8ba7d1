//! The scheduler's decision by itself: which step is next, with a thousand and with a million tenants waiting.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context;
use fairlane_core::scheduler::{
    Entry, GateAnswer, Lane, OrgConfig, OrgIx, Policy, PoolConfig, Scheduler, TenantConfig,
    TenantIx, Ticket,
};
use fairlane_core::time::{Span, Time};

use super::report::{Line, Part, Unit};

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
const TENANTS_PER_ORG: u32 = 100;
const SLOTS: u32 = 500;
/// Decisions that are timed.
const DECISIONS: u32 = 500_000;
/// Slot time that passes between two rounds.
const ROUND: Span = Span(5_000);
/// The design's bounds: one microsecond with a million tenants, and at most three times that with a thousand.
const TARGET_NS: f64 = 1_000.0;
const TARGET_RATIO: f64 = 3.0;

/// Nanoseconds of each operation.
#[derive(Clone, Copy, Debug)]
struct Costs {
    decide: f64,
    settle: f64,
    enqueue: f64,
}

pub(crate) fn measure() -> anyhow::Result<Part> {
    let few = costs(FEW)?;
    let many = costs(MANY)?;
    let ratio = many.decide / few.decide;
    let cycle = |costs: Costs| costs.decide + costs.settle + costs.enqueue;
    Ok(Part {
        name: "scheduler",
        method: format!(
            "the core alone, default policy: every tenant has a step waiting, {SLOTS} slots are given in a round, \
             settled, and the steps queued again; {DECISIONS} decisions, timed by the round"
        ),
        lines: vec![
            Line::new("decision, 1,000 tenants", few.decide, Unit::Nanoseconds),
            Line::with_target(
                "decision, 1,000,000 tenants",
                many.decide,
                Unit::Nanoseconds,
                TARGET_NS,
            ),
            Line::with_target("  over that with 1,000", ratio, Unit::Times, TARGET_RATIO),
            Line::new("queue, decide, settle; 1,000 tenants", cycle(few), Unit::Nanoseconds),
            Line::new("queue, decide, settle; 1,000,000 tenants", cycle(many), Unit::Nanoseconds),
        ],
    })
}

fn costs(tenants: u32) -> anyhow::Result<Costs> {
    let (mut scheduler, mut now) = (filled(tenants), Time(1_000_000));
    let mut tickets = u64::from(tenants);
    let mut spent = [Duration::ZERO; 3];
    let mut decided = 0;
    // The first round is for the caches.
    let mut is_warm = false;
    while decided < DECISIONS {
        let begin = Instant::now();
        let mut given = Vec::with_capacity(SLOTS as usize);
        while let Some(dispatch) = scheduler.next(now, &mut |_| GateAnswer::Pass) {
            given.push(black_box(dispatch));
        }
        let decide = begin.elapsed();
        let round = u32::try_from(given.len()).context("a round has as many as there are slots")?;
        anyhow::ensure!(round == SLOTS.min(tenants), "all slots are given while steps wait");

        now = now + ROUND;
        let begin = Instant::now();
        for dispatch in &given {
            scheduler.settle(now, dispatch.ticket);
        }
        let settle = begin.elapsed();

        let begin = Instant::now();
        for dispatch in &given {
            scheduler.enqueue(now, entry(dispatch.tenant, tickets));
            tickets += 1;
        }
        let enqueue = begin.elapsed();

        scheduler.tick(now);
        drop(scheduler.take_log());
        if is_warm {
            decided += round;
            for (sum, took) in spent.iter_mut().zip([decide, settle, enqueue]) {
                *sum += took;
            }
        }
        is_warm = true;
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e9 / f64::from(decided);
    Ok(Costs { decide: each(spent[0]), settle: each(spent[1]), enqueue: each(spent[2]) })
}

/// A queue in which each tenant has one step waiting.
fn filled(tenants: u32) -> Scheduler {
    let now = Time(0);
    let mut scheduler = Scheduler::new(PoolConfig {
        slots: SLOTS,
        policy: Policy::Fair,
        quantum: Span(10_000),
        long: None,
        burst_max: Span(0),
        age_guard: Span::from_secs(60),
    });
    for org in 0..tenants.div_ceil(TENANTS_PER_ORG) {
        scheduler.set_org(now, OrgIx(org), OrgConfig { weight: 1 + org % 7, cap: None });
    }
    for tenant in 0..tenants {
        let config = TenantConfig {
            org: OrgIx(tenant / TENANTS_PER_ORG),
            weight: 1 + tenant % 10,
            cap: 50,
            burst: None,
            urgent_share_permille: 500,
            paused: false,
        };
        scheduler.set_tenant(now, TenantIx(tenant), config);
    }
    for tenant in 0..tenants {
        scheduler.enqueue(now, entry(TenantIx(tenant), u64::from(tenant)));
    }
    scheduler
}

fn entry(tenant: TenantIx, number: u64) -> Entry {
    Entry {
        tenant,
        lane: Lane::Normal,
        class: 0,
        age: number,
        ticket: Ticket(number),
        expected: Span(1_000),
    }
}
