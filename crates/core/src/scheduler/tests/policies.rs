//! The policies for comparison, and changes from one to another.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const STEP: Span = Span::from_millis(100);

fn pool(policy: Policy, slots: u32) -> Pool {
    let mut pool = Pool::new(PoolConfig { policy, ..config(slots) });
    pool.tenants(&[1, 3]);
    pool.tenant(0, tenant_of(0, 1, 1));
    pool
}

fn order(pool: &Pool) -> Vec<u32> {
    pool.starts.iter().map(|start| start.tenant).collect()
}

#[test]
fn fifo_takes_the_oldest_run_whoever_it_is_and_knows_no_caps() {
    let mut pool = pool(Policy::Fifo, 4);
    pool.submit(Time(0), work(0, STEP), 6);
    pool.submit(Time(0), Work { lane: Lane::Urgent, ..work(1, STEP) }, 2);
    pool.run_until(Time(0));
    assert_eq!(pool.in_flight(0), 4, "caps do not count");
    pool.run_until(Time(SECOND));
    let tickets: Vec<u64> = pool.starts.iter().map(|start| start.ticket).collect();
    assert_eq!(tickets, (0..8).collect::<Vec<_>>());
}

#[test]
fn fifo_parks_a_class_and_not_its_tenant() {
    let mut pool = pool(Policy::Fifo, 1);
    pool.closed.insert(5, 500);
    pool.submit(Time(0), Work { class: 5, ..work(0, STEP) }, 3);
    pool.submit(Time(0), work(0, STEP), 1);
    pool.submit(Time(0), work(1, STEP), 1);
    pool.run_until(Time(SECOND));
    assert_eq!(order(&pool), [0, 1]);
    pool.closed.clear();
    pool.scheduler.wake(pool.now, 500, 1);
    pool.run_until(Time(2 * SECOND));
    assert_eq!(order(&pool), [0, 1, 0, 0, 0]);
}

#[test]
fn round_robin_gives_each_tenant_a_step_in_turn_whatever_it_takes() {
    let mut pool = pool(Policy::RoundRobin, 1);
    pool.submit(Time(0), work(0, Span::from_secs(2)), 4);
    pool.submit(Time(0), work(1, Span::from_millis(1)), 4);
    pool.run_until(Time(60 * SECOND));
    assert_eq!(order(&pool), [0, 1, 0, 1, 0, 1, 0, 1]);
}

#[test]
fn weighted_shares_by_weight_and_knows_no_caps_and_no_lanes() {
    let mut pool = pool(Policy::Weighted, 8);
    pool.submit(Time(0), work(0, STEP), 1);
    pool.submit(Time(0), Work { lane: Lane::Urgent, ..work(0, STEP) }, 1);
    pool.saturate(Time(0), work(0, STEP), 10);
    pool.saturate(Time(0), work(1, STEP), 10);
    pool.run_until(Time(60 * SECOND));
    let (one, two) = (pool.service_ms(0), pool.service_ms(1));
    assert!(one.abs_diff(120_000) <= 2_000, "2 slots of 8, not {one} ms in a minute");
    assert_eq!(one + two, 480_000);
    let own: Vec<u64> =
        pool.starts.iter().filter(|start| start.tenant == 0).map(|start| start.ticket).collect();
    assert_eq!(own[..2], [0, 1], "the older one goes first, urgent or not");
}

#[test]
fn every_policy_respects_a_pause() {
    for policy in [Policy::Fair, Policy::Fifo, Policy::RoundRobin, Policy::Weighted] {
        let mut pool = pool(policy, 4);
        pool.tenant(0, TenantConfig { paused: true, ..tenant_of(0, 1, 1) });
        pool.submit(Time(0), work(0, STEP), 3);
        pool.submit(Time(0), work(1, STEP), 3);
        pool.run_until(Time(SECOND));
        assert_eq!(order(&pool), [1, 1, 1], "{policy:?}");
    }
}

#[test]
fn a_change_of_policy_keeps_what_runs_what_waits_and_what_is_parked() {
    let policies = [Policy::Fifo, Policy::RoundRobin, Policy::Fair, Policy::Weighted, Policy::Fair];
    let mut pool = pool(Policy::Fair, 4);
    pool.closed.insert(5, 500);
    pool.submit(Time(0), Work { class: 5, ..work(1, STEP) }, 3);
    pool.submit(Time(0), Work { lane: Lane::Background, ..work(0, STEP) }, 40);
    pool.submit(Time(0), work(1, STEP), 40);
    pool.run_until(Time(50_000));
    for policy in policies {
        pool.run_until(pool.now + Span::from_millis(300));
        let before = (pool.scheduler.reading(), pool.scheduler.flow(pool.now, TenantIx(1)));
        pool.scheduler.configure(pool.now, PoolConfig { policy, ..config(4) });
        let after = (pool.scheduler.reading(), pool.scheduler.flow(pool.now, TenantIx(1)));
        assert_eq!(before.0.in_flight, after.0.in_flight);
        assert_eq!(before.0.waiting, after.0.waiting);
        assert_eq!((before.1.in_flight, before.1.waiting), (after.1.in_flight, after.1.waiting));
        let parked = pool.scheduler.explain(pool.now, &pool.entry(1));
        assert!(matches!(parked, Wait::Parked { key: 500, since: Time(0) }), "{parked:?}");
        pool.scheduler.check();
    }
    pool.closed.clear();
    pool.scheduler.wake(pool.now, 500, 1);
    pool.run_until(Time(60 * SECOND));
    assert_eq!(pool.starts.len(), 83, "all of them have run, each of them once");
    assert_eq!(pool.scheduler.reading().in_flight, 0);
}
