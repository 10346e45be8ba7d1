//! Burst with payback: P1 above the cap, and P18.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const STEP: Span = Span::from_millis(50);
const CREDIT: Span = Span::from_secs(20);

fn bursting(cap: u32, extra_slots: u32, credit: Span) -> TenantConfig {
    TenantConfig { burst: Some(Burst { extra_slots, credit }), ..tenant_of(0, 1, cap) }
}

/// Ten slots; the first tenant may burst from 2 to 6 of them, the second has no cap.
fn pool() -> Pool {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.tenant(0, bursting(2, 4, CREDIT));
    pool
}

fn held(pool: &mut Pool, tenant: u32, from: u64, to: u64) -> u64 {
    pool.run_until(Time(from * SECOND));
    let before = pool.service_ms(tenant);
    pool.run_until(Time(to * SECOND));
    pool.service_ms(tenant) - before
}

#[test]
fn alone_it_holds_its_extra_slots_for_as_long_as_it_likes_and_owes_nothing() {
    let mut pool = pool();
    pool.saturate(Time(0), work(0, STEP), 10);
    assert_eq!(held(&mut pool, 0, 0, 100), 6 * 100_000);
    assert_eq!(pool.codes_of(0), ["burst-granted", "cap-reached"]);
    assert_eq!(pool.scheduler.flow(pool.now, TenantIx(0)).burst_slots, 4);
}

#[test]
fn alone_with_long_steps_it_does_not_run_into_debt_either() {
    let mut pool = pool();
    pool.saturate(Time(0), work(0, Span::from_secs(100)), 10);
    assert_eq!(held(&mut pool, 0, 0, 550), 6 * 550_000);
    assert_eq!(pool.codes_of(0), ["burst-granted", "cap-reached"]);
}

#[test]
fn ahead_of_others_it_uses_its_credit_then_waits_until_it_is_paid_back_and_may_burst_again() {
    let mut pool = Pool::new(config(10));
    // Its share is 2.5 slots, its cap 2, and 6 while it bursts.
    pool.tenants(&[1, 3]);
    pool.tenant(0, bursting(2, 4, CREDIT));
    pool.saturate(Time(0), work(0, STEP), 10);
    pool.saturate(Time(0), work(1, STEP), 10);
    pool.run_until(Time(120 * SECOND));
    let codes = pool.codes_of(0);
    let bursts = codes.iter().filter(|code| **code == "burst-granted").count();
    assert!(bursts >= 2, "it bursts again once it has paid: {codes:?}");
    let moves: Vec<&str> = codes.into_iter().filter(|code| code.starts_with("burst")).collect();
    for (at, code) in moves.iter().enumerate() {
        let expected = ["burst-granted", "burst-spent", "burst-paid-back"][at % 3];
        assert_eq!(
            *code, expected,
            "every grant is followed by its end and its payback: {moves:?}"
        );
    }
    assert!(pool.peaks[&0] == 6, "it held its extra slots, not {}", pool.peaks[&0]);
    // In the long run it has its share, within a credit.
    let (got, share) = (pool.service_ms(0), 120_000 * 10 / 4);
    assert!(got <= share + 20_000 + 2_000, "{got} ms of a share of {share} ms");
    assert!(got >= share - share / 10, "{got} ms of a share of {share} ms");
}

#[test]
fn while_it_pays_back_its_cap_is_the_normal_one_even_where_slots_are_idle() {
    let mut pool = pool();
    pool.saturate(Time(0), work(0, STEP), 10);
    pool.saturate(Time(0), work(1, STEP), 10);
    while !pool.codes_of(0).contains(&"burst-spent") {
        pool.run_until(pool.now + STEP);
    }
    let at = pool.now;
    pool.run_until(at + Span::from_millis(300));
    assert!(!pool.codes_of(0).contains(&"burst-paid-back"), "20 slot-seconds take longer");
    assert!(pool.in_flight(0) <= 2, "it holds {}", pool.in_flight(0));
}

#[test]
fn others_wait_for_no_more_than_the_credit() {
    let mut pool = pool();
    pool.saturate(Time(0), work(0, STEP), 10);
    pool.saturate(Time(0), work(1, STEP), 10);
    // Their shares are 5 slots each; in no window is the second one short by more than the credit.
    let mut before = 0;
    for second in 1..60 {
        pool.run_until(Time(second * SECOND));
        let got = pool.service_ms(1);
        assert!(got + 20_000 + 1_000 >= second * 5_000, "{got} ms in {second} s");
        assert!(got > before, "the other one is never shut out");
        before = got;
    }
}

#[test]
fn the_credits_of_a_pool_are_bounded_together() {
    let mut pool = Pool::new(PoolConfig { burst_max: Span::from_secs(30), ..config(20) });
    pool.tenants(&[1, 1]);
    for tenant in 0..2 {
        pool.tenant(tenant, TenantConfig { org: OrgIx(tenant), ..bursting(2, 4, CREDIT) });
        pool.saturate(Time(0), work(tenant, STEP), 10);
    }
    pool.run_until(Time(10 * SECOND));
    assert_eq!((pool.peaks[&0], pool.peaks[&1]), (6, 2), "20 s and 20 s are more than 30 s");
    assert_eq!(pool.scheduler.reading().burst_credit, 20_000_000);
    pool.tenant(0, tenant_of(0, 1, 2));
    pool.run_until(Time(20 * SECOND));
    assert_eq!((pool.in_flight(0), pool.in_flight(1)), (2, 6), "what one gives back another takes");
}

#[test]
fn a_burst_that_is_not_needed_any_more_is_paid_back_and_logged() {
    let mut pool = pool();
    pool.submit(Time(0), work(0, STEP), 100);
    pool.run_until(Time(60 * SECOND));
    let codes = pool.codes_of(0);
    assert_eq!(codes, ["burst-granted", "cap-reached", "burst-spent", "burst-paid-back"]);
    assert_eq!(pool.scheduler.reading().burst_credit, 0);
}

#[test]
fn without_room_to_log_it_nothing_is_granted() {
    let mut pool = Pool::new(config(100));
    pool.org(0, 1, None);
    let now = Time(0);
    let mut ticket = 0;
    let mut enqueue = |pool: &mut Pool, tenant: u32| {
        ticket += 1;
        let entry = Entry {
            tenant: TenantIx(tenant),
            lane: Lane::Normal,
            class: 0,
            age: ticket,
            ticket: Ticket(ticket),
            expected: STEP,
        };
        pool.scheduler.enqueue(now, entry);
    };
    // Ten thousand and more caps are reached and nobody reads the log.
    for tenant in 1..=10_050 {
        pool.tenant(tenant, tenant_of(0, 1, 1));
        enqueue(&mut pool, tenant);
        let given = pool.scheduler.next(now, &mut |_| GateAnswer::Pass).expect("a slot is free");
        enqueue(&mut pool, tenant);
        pool.scheduler.settle(now, given.ticket);
        let entry = Entry {
            tenant: TenantIx(tenant),
            lane: Lane::Normal,
            class: 0,
            age: given.ticket.0 + 1,
            ticket: Ticket(given.ticket.0 + 1),
            expected: STEP,
        };
        assert!(pool.scheduler.withdraw(now, &entry));
    }
    pool.tenant(0, bursting(1, 4, CREDIT));
    for _ in 0..5 {
        enqueue(&mut pool, 0);
    }
    while pool.scheduler.next(now, &mut |_| GateAnswer::Pass).is_some() {}
    assert_eq!(pool.scheduler.flow(now, TenantIx(0)).in_flight, 1, "a grant must be logged");
    assert_eq!(pool.scheduler.take_log().len(), 10_000, "the log is bounded");
    pool.scheduler.tick(now + Span::from_secs(1));
    enqueue(&mut pool, 0);
    while pool.scheduler.next(now, &mut |_| GateAnswer::Pass).is_some() {}
    assert_eq!(pool.scheduler.flow(now, TenantIx(0)).in_flight, 5);
}

#[test]
fn a_tenant_without_permission_never_exceeds_its_cap() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1]);
    pool.tenant(0, tenant_of(0, 1, 2));
    pool.saturate(Time(0), work(0, STEP), 10);
    pool.run_until(Time(10 * SECOND));
    assert_eq!(pool.peaks[&0], 2);
    assert_eq!(pool.codes_of(0), ["cap-reached"], "once for the whole time of waiting");
}
