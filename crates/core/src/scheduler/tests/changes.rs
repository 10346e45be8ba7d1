//! P17: weights, caps, pauses, moves and policies act on what already waits.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const STEP: Span = Span::from_millis(20);

/// Two tenants of one organisation each, both with a backlog from the start.
fn contended(slots: u32) -> Pool {
    let mut pool = Pool::new(config(slots));
    pool.tenants(&[1, 1]);
    for tenant in 0..2 {
        pool.submit(Time(0), work(tenant, STEP), 60_000);
    }
    pool.run_until(Time(5 * SECOND));
    pool
}

fn next_second(pool: &mut Pool) -> (u64, u64) {
    let before = (pool.service_ms(0), pool.service_ms(1));
    pool.run_until(pool.now + Span::from_secs(1));
    (pool.service_ms(0) - before.0, pool.service_ms(1) - before.1)
}

#[track_caller]
fn assert_near(got: u64, expected: u64) {
    assert!(got.abs_diff(expected) <= expected / 20 + 100, "{got} ms and not {expected} ms");
}

#[test]
fn a_weight_acts_on_the_backlog_within_a_second() {
    let mut pool = contended(8);
    pool.org(0, 3, None);
    let (one, two) = next_second(&mut pool);
    assert_near(one, 6_000);
    assert_near(two, 2_000);
}

#[test]
fn what_an_idle_tenant_owes_in_slot_time_is_the_same_after_a_change_of_its_weight() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    // While its steps run, which take 10 s of all slots, the other one comes and waits; then it is gone.
    pool.submit(Time(0), work(0, Span::from_secs(10)), 10);
    pool.saturate(Time(SECOND), work(1, STEP), 20);
    pool.run_until(Time(10 * SECOND));
    pool.org(0, 1_000, None);
    pool.org(0, 100, None);
    pool.saturate(Time(10 * SECOND), work(0, STEP), 20);
    pool.run_until(Time(40 * SECOND));
    let (one, two) = (pool.service_ms(0) - 100_000, pool.service_ms(1));
    assert_eq!(one + two, 300_000);
    // It is 90 slot-seconds ahead, and one hundredth of that once its weight is a hundred: it waits 0.9 s for a tenant
    // that holds all ten slots, and not 90 s.
    assert!(one > 270_000, "{one} ms");
}

#[test]
fn a_lower_cap_lets_running_steps_end_and_gives_out_no_more() {
    let mut pool = contended(8);
    pool.tenant(0, tenant_of(0, 1, 1));
    pool.run_until(pool.now + STEP);
    assert_eq!((pool.in_flight(0), pool.in_flight(1)), (1, 7));
}

#[test]
fn a_higher_cap_lets_the_backlog_through_at_once() {
    let mut pool = Pool::new(config(8));
    pool.tenants(&[1]);
    pool.tenant(0, tenant_of(0, 1, 2));
    pool.submit(Time(0), work(0, STEP), 1_000);
    pool.run_until(Time(SECOND / 10));
    assert_eq!(pool.in_flight(0), 2);
    pool.tenant(0, tenant_of(0, 1, 6));
    pool.dispatch();
    assert_eq!(pool.in_flight(0), 6);
}

#[test]
fn a_cap_of_an_organisation_acts_on_all_its_tenants() {
    let mut pool = Pool::new(config(8));
    pool.org(0, 1, None);
    for tenant in 0..3 {
        pool.tenant(tenant, tenant_of(0, 1, FREE));
        pool.saturate(Time(0), work(tenant, STEP), 10);
    }
    pool.run_until(Time(SECOND));
    pool.org(0, 1, Some(3));
    pool.run_until(pool.now + STEP);
    let held = |pool: &Pool| (0..3).map(|tenant| pool.in_flight(tenant)).sum::<u32>();
    assert_eq!(held(&pool), 3);
    let waiting = pool.entry(pool.starts.last().expect("some started").ticket + 2);
    assert_eq!(pool.scheduler.explain(pool.now, &waiting), Wait::OrgCap { in_flight: 3, cap: 3 });
    pool.org(0, 1, None);
    pool.dispatch();
    assert_eq!(held(&pool), 8);
}

#[test]
fn a_paused_tenant_starts_nothing_and_goes_on_where_it_was() {
    let mut pool = contended(8);
    pool.tenant(0, TenantConfig { paused: true, ..tenant_of(0, 1, FREE) });
    pool.run_until(pool.now + STEP);
    assert_eq!((pool.in_flight(0), pool.in_flight(1)), (0, 8));
    let oldest = pool.scheduler.flow(pool.now, TenantIx(0));
    assert!(oldest.waiting > 0 && oldest.in_flight == 0);
    pool.tenant(0, tenant_of(0, 1, FREE));
    let (one, two) = next_second(&mut pool);
    assert_near(one, 4_000);
    assert_near(two, 4_000);
}

#[test]
fn a_tenant_moves_to_another_organisation_with_its_backlog_and_its_slots() {
    let mut pool = Pool::new(config(9));
    pool.org(0, 1, None);
    pool.org(1, 2, None);
    pool.tenant(0, tenant_of(0, 1, FREE));
    pool.tenant(1, tenant_of(1, 1, FREE));
    pool.tenant(2, tenant_of(0, 1, FREE));
    for tenant in 0..3 {
        pool.submit(Time(0), work(tenant, STEP), 60_000);
    }
    pool.run_until(Time(5 * SECOND));
    pool.tenant(0, tenant_of(1, 1, FREE));
    pool.scheduler.check();
    let (one, two) = next_second(&mut pool);
    assert_near(one, 3_000);
    assert_near(two, 3_000);
    pool.tenant(0, tenant_of(0, 1, FREE));
    let (one, two) = next_second(&mut pool);
    assert_near(one, 1_500);
    assert_near(two, 6_000);
}

#[test]
fn fewer_slots_leave_the_order_as_it_is() {
    let mut pool = contended(8);
    pool.scheduler.set_dispatchable(pool.now, 2);
    pool.run_until(pool.now + STEP);
    assert_eq!((pool.in_flight(0), pool.in_flight(1)), (1, 1));
    let (one, two) = next_second(&mut pool);
    assert_near(one, 1_000);
    assert_near(two, 1_000);
    assert_eq!(pool.scheduler.reading().dispatchable, 2);
    pool.scheduler.configure(pool.now, config(8));
    assert_eq!(pool.scheduler.reading().dispatchable, 2, "a change of the pool opens no valve");
    pool.scheduler.set_dispatchable(pool.now, 8);
    pool.dispatch();
    assert_eq!(pool.in_flight(0) + pool.in_flight(1), 8);
}

#[test]
fn a_pool_with_fewer_slots_waits_until_they_are_free_and_with_more_uses_them() {
    let mut pool = contended(8);
    pool.scheduler.configure(pool.now, config(2));
    assert!(pool.scheduler.next(pool.now, &mut |_| GateAnswer::Pass).is_none());
    pool.run_until(pool.now + STEP);
    assert_eq!(pool.in_flight(0) + pool.in_flight(1), 2);
    pool.scheduler.configure(pool.now, config(20));
    pool.dispatch();
    assert_eq!(pool.in_flight(0) + pool.in_flight(1), 20);
}

/// Both start a step of ten seconds, one before the quantum changes and one after, and two seconds pass. Gives the slot
/// time that each is charged then.
fn charged_around_a_change(before: Span, after: Span) -> (u128, u128) {
    let mut pool = Pool::new(PoolConfig { quantum: before, ..config(2) });
    pool.tenants(&[1, 1]);
    for tenant in 0..2 {
        pool.submit(Time(u64::from(tenant) * SECOND), work(tenant, Span::from_secs(10)), 1);
    }
    pool.run_until(Time(SECOND / 2));
    pool.scheduler.configure(pool.now, PoolConfig { quantum: after, ..config(2) });
    pool.run_until(Time(3 * SECOND));
    pool.scheduler.tick(pool.now);
    pool.scheduler.check_charges(pool.now);
    let charged = |tenant| pool.scheduler.flow(pool.now, TenantIx(tenant)).service;
    (charged(0), charged(1))
}

#[test]
fn a_shorter_quantum_takes_back_what_running_steps_were_charged_further_ahead() {
    let (one, two) = charged_around_a_change(Span::from_secs(60), Span::from_millis(1));
    assert!((3_000_000..=3_001_000).contains(&one), "{one} us charged after three seconds");
    assert!((2_000_000..=2_001_000).contains(&two), "{two} us charged after two seconds");
}

#[test]
fn a_longer_quantum_is_charged_when_what_was_charged_is_used_up() {
    let (one, two) = charged_around_a_change(Span::from_millis(1), Span::from_secs(60));
    assert_eq!(one, 61_000_000, "charged again after its first second");
    assert_eq!(two, 60_000_000, "charged at its dispatch");
}

#[test]
fn a_tenant_moves_after_a_change_of_the_quantum_while_its_steps_run() {
    let mut pool = Pool::new(PoolConfig { quantum: Span::from_secs(60), ..config(4) });
    pool.org(0, 1, None);
    pool.org(1, 1, None);
    for tenant in 0..2 {
        pool.tenant(tenant, tenant_of(0, 1, FREE));
        pool.submit(Time(u64::from(tenant) * SECOND), work(tenant, Span::from_secs(30)), 2);
    }
    pool.run_until(Time(SECOND / 2));
    pool.scheduler.configure(pool.now, PoolConfig { quantum: Span::from_millis(1), ..config(4) });
    pool.run_until(Time(5 * SECOND));
    for tenant in 0..2 {
        pool.tenant(tenant, tenant_of(1, 1, FREE));
        pool.scheduler.check();
        pool.scheduler.check_charges(pool.now);
    }
    pool.run_until(Time(40 * SECOND));
    let charged = [0, 1].map(|tenant| pool.scheduler.flow(pool.now, TenantIx(tenant)).service);
    assert_eq!(charged, [60_000_000; 2], "at the end everyone is charged what it used");
}

#[test]
fn tenants_go_on_in_turn_after_a_change_of_the_quantum() {
    for (before, after) in [(60_000, 1), (1, 60_000)] {
        let quantum = |ms| PoolConfig {
            quantum: Span::from_millis(ms),
            policy: Policy::RoundRobin,
            ..config(1)
        };
        let mut pool = Pool::new(quantum(before));
        pool.tenants(&[1, 1]);
        for tenant in 0..2 {
            pool.saturate(Time(0), work(tenant, STEP), 2);
        }
        pool.run_until(Time(STEP.0 / 2));
        pool.scheduler.configure(pool.now, quantum(after));
        pool.run_until(Time(2 * SECOND));
        let starts = [pool.starts_of(0).len(), pool.starts_of(1).len()];
        assert!(starts[0].abs_diff(starts[1]) <= 1, "{starts:?} from {before} ms to {after} ms");
    }
}

#[test]
fn steps_restored_after_a_restart_hold_their_slots_above_any_cap() {
    let mut pool = Pool::new(config(4));
    pool.tenants(&[1, 1]);
    pool.tenant(0, tenant_of(0, 1, 1));
    let entry = |ticket: u64| Entry {
        tenant: TenantIx(0),
        lane: Lane::Normal,
        class: 0,
        age: ticket,
        ticket: Ticket(ticket),
        expected: STEP,
    };
    let now = Time(100 * SECOND);
    for ticket in 0..3 {
        pool.scheduler.restore(now, entry(ticket), Time(40 * SECOND));
    }
    pool.scheduler.enqueue(now, entry(3));
    assert_eq!(pool.scheduler.next(now, &mut |_| GateAnswer::Pass), None, "3 of 1 are held");
    assert_eq!(
        pool.scheduler.explain(now, &entry(3)),
        Wait::TenantCap { in_flight: 3, cap: 1, older_steps: 0 }
    );
    for ticket in 0..2 {
        pool.scheduler.settle(now, Ticket(ticket));
        assert_eq!(pool.scheduler.next(now, &mut |_| GateAnswer::Pass), None);
    }
    pool.scheduler.settle(now, Ticket(2));
    assert!(pool.scheduler.next(now, &mut |_| GateAnswer::Pass).is_some());
    assert_eq!(pool.scheduler.flow(now, TenantIx(0)).service, 10_000, "charged anew from now on");
}

#[test]
fn a_removed_tenant_leaves_nothing_behind() {
    let mut pool = Pool::new(config(4));
    pool.tenants(&[1, 1]);
    pool.submit(Time(0), work(0, STEP), 10);
    pool.run_until(Time(SECOND));
    pool.scheduler.remove_tenant(pool.now, TenantIx(0));
    assert_eq!(pool.scheduler.tenants_active().count(), 0);
    pool.scheduler.check();
}
