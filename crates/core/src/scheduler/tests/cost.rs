//! The cost of a decision, counted in keys moved and not in time.

use super::pool::{Dice, FREE, config, tenant_of};
use crate::scheduler::*;
use crate::time::{Span, Time};

fn entry(tenant: u32, ticket: u64) -> Entry {
    Entry {
        tenant: TenantIx(tenant),
        lane: Lane::Normal,
        class: u64::from(tenant % 5),
        age: ticket,
        ticket: Ticket(ticket),
        expected: Span::from_millis(5),
    }
}

/// Keys moved per decision, settlement and arrival, and the most by one of them, with so many tenants that all wait.
fn cost(tenants: u32, orgs: u32) -> (u64, u64) {
    let mut scheduler = Scheduler::new(config(50));
    for org in 0..orgs {
        scheduler.set_org(Time(0), OrgIx(org), OrgConfig { weight: 1 + org % 3, cap: None });
    }
    for tenant in 0..tenants {
        scheduler.set_tenant(Time(0), TenantIx(tenant), tenant_of(tenant % orgs, 1, FREE));
        scheduler.enqueue(Time(0), entry(tenant, tenant.into()));
    }
    let moves =
        |scheduler: &Scheduler| scheduler.tree.seats.iter().map(|seats| seats.moves).sum::<u64>();
    let (mut running, mut now, mut dice) = (Vec::new(), 0, Dice(7));
    let (rounds, mut most, begin) = (2_000, 0, moves(&scheduler));
    for round in 0..rounds {
        now += 100;
        let before = moves(&scheduler);
        if running.len() == 50 {
            let at = usize::try_from(dice.roll(50)).expect("small");
            scheduler.settle(Time(now), running.swap_remove(at));
        }
        let given = scheduler.next(Time(now), &mut |_| GateAnswer::Pass).expect("all wait");
        running.push(given.ticket);
        scheduler.enqueue(Time(now), entry(given.tenant.0, u64::from(tenants) + round));
        most = most.max(moves(&scheduler) - before);
    }
    ((moves(&scheduler) - begin) / rounds, most)
}

#[test]
fn a_decision_among_a_million_tenants_costs_little_more_than_among_a_thousand() {
    let (few, _) = cost(1_000, 10);
    let (many, most) = cost(1_000_000, 10);
    assert!(many <= 3 * few, "{many} moves among a million, {few} among a thousand");
    // Four children a node: ten levels for a million, for each of the few changes of a round.
    assert!(most <= 200, "{most} moves at once");
}
