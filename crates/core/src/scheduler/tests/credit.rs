//! P3: time spent idle, parked, paused or at the cap earns nothing, and use of idle capacity costs nothing.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const SHORT: Span = Span::from_millis(20);

/// What two tenants held from `from` to `to`, in slot-milliseconds.
fn held_between(pool: &mut Pool, from: u64, to: u64) -> (u64, u64) {
    pool.run_until(Time(from * SECOND));
    let before = (pool.service_ms(0), pool.service_ms(1));
    pool.run_until(Time(to * SECOND));
    (pool.service_ms(0) - before.0, pool.service_ms(1) - before.1)
}

#[track_caller]
fn assert_even((one, two): (u64, u64), most_apart: u64) {
    assert!(one.abs_diff(two) <= most_apart, "{one} ms and {two} ms are not even");
}

#[test]
fn an_idle_tenant_comes_back_without_credit() {
    let mut pool = Pool::new(config(4));
    pool.tenants(&[1, 1]);
    pool.saturate(Time(0), work(0, SHORT), 10);
    pool.saturate(Time(60 * SECOND), work(1, SHORT), 10);
    assert_even(held_between(&mut pool, 60, 62), 100);
}

#[test]
fn who_had_the_pool_alone_owes_nothing_when_others_come() {
    let mut pool = Pool::new(config(4));
    pool.tenants(&[1, 1]);
    pool.saturate(Time(0), work(0, SHORT), 10);
    pool.saturate(Time(60 * SECOND), work(1, SHORT), 10);
    pool.run_until(Time(60 * SECOND));
    let alone = pool.service_ms(0);
    assert_eq!(alone, 240_000, "alone it has all slots");
    let (one, _) = held_between(&mut pool, 60, 61);
    assert!(one > 1_900, "it goes on with its half at once, and not with {one} ms of 2,000");
}

/// The stale virtual time trap: one tenant holds all slots with long steps, and nothing is decided while they run.
#[test]
fn a_late_arrival_is_not_paid_for_service_used_before_it_came() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.saturate(Time(0), work(0, Span::from_secs(100)), 20);
    pool.saturate(Time(50 * SECOND), work(1, SHORT), 20);
    // What the first tenant's steps take after the arrival, 10 slots for 50 s, is to be made up for. What they took before is not.
    let mut caught_up = 0;
    for second in 100..250 {
        pool.run_until(Time(second * SECOND));
        if pool.in_flight(0) > 0 {
            caught_up = second;
            break;
        }
    }
    assert!(
        (149..=151).contains(&caught_up),
        "500 slot-seconds of 10 slots are made up for in 50 s, not until {caught_up} s"
    );
}

/// The same trap where nobody stands in the order to read the time from: the long steps are all that their tenant has.
#[test]
fn a_late_arrival_is_level_with_who_only_runs_and_has_nothing_waiting() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.submit(Time(0), work(0, Span::from_secs(100)), 10);
    pool.saturate(Time(99 * SECOND), work(1, SHORT), 20);
    pool.saturate(Time(100 * SECOND), work(0, SHORT), 20);
    // It is ahead by what its ten slots took in the last second, which is made up for in one.
    assert_even(held_between(&mut pool, 101, 103), 500);
}

#[test]
fn free_slots_of_one_moment_are_shared_before_anyone_has_used_any() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.submit(Time(0), work(0, Span::from_secs(60)), 20);
    pool.submit(Time(0), work(1, Span::from_secs(60)), 20);
    pool.run_until(Time(0));
    assert_eq!((pool.in_flight(0), pool.in_flight(1)), (5, 5));
}

#[test]
fn a_tenant_of_long_steps_does_not_run_for_nothing_until_they_end() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.saturate(Time(0), work(0, Span::from_secs(50)), 10);
    pool.saturate(Time(0), work(1, SHORT), 10);
    assert_even(held_between(&mut pool, 0, 40), 5_000);
}

#[test]
fn a_capped_tenant_has_earned_nothing_when_its_cap_is_raised() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.tenant(0, tenant_of(0, 1, 1));
    pool.saturate(Time(0), work(0, SHORT), 20);
    pool.saturate(Time(0), work(1, SHORT), 20);
    pool.run_until(Time(60 * SECOND));
    assert_eq!(pool.service_ms(0), 60_000, "it held its one slot");
    pool.tenant(0, tenant_of(0, 1, FREE));
    assert_even(held_between(&mut pool, 60, 62), 200);
}

#[test]
fn a_paused_tenant_has_earned_nothing_when_it_goes_on() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.tenant(0, TenantConfig { paused: true, ..tenant_of(0, 1, FREE) });
    pool.saturate(Time(0), work(0, SHORT), 20);
    pool.saturate(Time(0), work(1, SHORT), 20);
    pool.run_until(Time(60 * SECOND));
    assert_eq!(pool.service_ms(0), 0);
    pool.tenant(0, tenant_of(0, 1, FREE));
    assert_even(held_between(&mut pool, 60, 62), 100);
}

#[test]
fn a_parked_tenant_has_earned_nothing_when_it_is_woken() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.closed.insert(7, 700);
    pool.saturate(Time(0), Work { class: 7, ..work(0, SHORT) }, 20);
    pool.saturate(Time(0), work(1, SHORT), 20);
    pool.run_until(Time(60 * SECOND));
    assert_eq!(pool.service_ms(0), 0);
    assert_eq!(pool.tries(), 1 + pool.starts.len() as u64, "one try parked the class");
    pool.closed.clear();
    pool.scheduler.wake(pool.now, 700, 1);
    assert_even(held_between(&mut pool, 60, 62), 100);
}

#[test]
fn a_dispatch_that_came_to_nothing_costs_nothing() {
    let mut pool = Pool::new(config(1));
    pool.tenants(&[1, 1]);
    for ticket in 0..4 {
        let entry = Entry {
            tenant: TenantIx(u32::from(ticket >= 2)),
            lane: Lane::Normal,
            class: 0,
            age: ticket,
            ticket: Ticket(ticket),
            expected: SHORT,
        };
        pool.scheduler.enqueue(Time(0), entry);
    }
    let first = pool.scheduler.next(Time(0), &mut |_| GateAnswer::Pass).expect("a slot is free");
    pool.scheduler.unstart(Time(0), first.ticket);
    let second = pool.scheduler.next(Time(0), &mut |_| GateAnswer::Pass).expect("a slot is free");
    assert_eq!((first.tenant, second.tenant), (TenantIx(0), TenantIx(0)), "it has its turn again");
    assert_eq!(pool.scheduler.flow(Time(0), TenantIx(0)).service, 10_000, "one quantum, not two");
}
