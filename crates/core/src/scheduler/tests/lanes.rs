//! Inside a tenant: priorities, their guard and their price, classes, and the order of runs. P5 and P6.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const STEP: Span = Span::from_millis(100);

fn in_lane(lane: Lane, tenant: u32) -> Work {
    Work { lane, ..work(tenant, STEP) }
}

fn one_slot(age_guard: Span) -> Pool {
    let mut pool = Pool::new(PoolConfig { age_guard, ..config(1) });
    pool.tenants(&[1, 1]);
    pool
}

fn tickets(pool: &Pool) -> Vec<u64> {
    pool.starts.iter().map(|start| start.ticket).collect()
}

#[test]
fn urgent_goes_before_normal_and_normal_before_background() {
    let mut pool = one_slot(Span::from_secs(3_600));
    pool.submit(Time(0), in_lane(Lane::Background, 0), 1);
    pool.submit(Time(0), in_lane(Lane::Normal, 0), 1);
    pool.submit(Time(0), in_lane(Lane::Urgent, 0), 1);
    pool.run_until(Time(SECOND));
    assert_eq!(tickets(&pool), [2, 1, 0]);
}

#[test]
fn steps_of_older_runs_go_first_whatever_their_class_and_whenever_they_come() {
    let mut pool = one_slot(Span::from_secs(3_600));
    let (now, ages) = (Time(0), [50, 30, 40, 10, 20, 60]);
    for (ticket, age) in (0..).zip(ages) {
        let entry = Entry {
            tenant: TenantIx(0),
            lane: Lane::Normal,
            class: ticket % 2,
            age,
            ticket: Ticket(ticket),
            expected: STEP,
        };
        pool.scheduler.enqueue(now, entry);
    }
    let mut order = Vec::new();
    while let Some(given) = pool.scheduler.next(now, &mut |_| GateAnswer::Pass) {
        order.push(given.ticket.0);
        pool.scheduler.settle(now, given.ticket);
    }
    assert_eq!(order, [3, 4, 1, 2, 0, 5]);
}

#[test]
fn a_lower_lane_has_one_turn_each_time_that_the_guard_runs_out() {
    let mut pool = one_slot(Span::from_secs(1));
    pool.saturate(Time(0), in_lane(Lane::Urgent, 0), 2);
    pool.saturate(Time(0), in_lane(Lane::Background, 0), 2);
    pool.run_until(Time(20 * SECOND));
    let background = |start: &&Start| pool.entry(start.ticket).lane == Lane::Background;
    let starts: Vec<Time> = pool.starts.iter().filter(background).map(|start| start.at).collect();
    assert!((18..=20).contains(&starts.len()), "one a second, not {} in 20 s", starts.len());
    for pair in starts.windows(2) {
        let apart = pair[1].since(pair[0]);
        assert!(apart >= Span::from_secs(1), "twice within {apart}");
    }
}

#[test]
fn the_priorities_of_one_tenant_never_change_when_another_ones_steps_start() {
    let starts_of_the_other = |mix: &[Lane]| {
        let mut pool = Pool::new(config(3));
        pool.org(0, 1, None);
        pool.tenant(0, tenant_of(0, 2, FREE));
        pool.tenant(1, tenant_of(0, 1, FREE));
        pool.org(1, 1, None);
        pool.tenant(2, tenant_of(1, 1, 2));
        let mut dice = Dice(4);
        for at in 0..400 {
            let lane = mix[at % mix.len()];
            pool.submit(Time(dice.roll(10 * SECOND)), in_lane(lane, 0), 1);
        }
        for tenant in [1, 2] {
            pool.saturate(Time(SECOND), work(tenant, Span::from_millis(70)), 3);
        }
        pool.run_until(Time(20 * SECOND));
        (pool.starts_of(1), pool.starts_of(2))
    };
    let all_normal = starts_of_the_other(&[Lane::Normal]);
    assert!(all_normal.0.len() > 50, "the others do something");
    assert_eq!(all_normal, starts_of_the_other(&[Lane::Urgent]));
    assert_eq!(all_normal, starts_of_the_other(&[Lane::Background]));
    assert_eq!(all_normal, starts_of_the_other(&[Lane::Urgent, Lane::Background, Lane::Normal]));
}

#[test]
fn who_marks_everything_urgent_has_its_urgent_steps_treated_as_normal_and_is_told_once() {
    let mut pool = one_slot(Span::from_secs(3_600));
    pool.tenant(0, TenantConfig { urgent_share_permille: 200, ..tenant_of(0, 1, FREE) });
    pool.saturate(Time(0), in_lane(Lane::Urgent, 0), 2);
    pool.saturate(Time(0), in_lane(Lane::Normal, 0), 2);
    pool.run_until(Time(600 * SECOND));
    let is_urgent = |start: &&Start| pool.entry(start.ticket).lane == Lane::Urgent;
    let urgent = pool.starts.iter().filter(is_urgent).count();
    // Counted as normal they take turns by age: half of the steps, and no more.
    assert!(
        (2_900..=3_100).contains(&urgent),
        "about half of 6,000 steps are urgent ones, not {urgent}"
    );
    assert_eq!(pool.codes_of(0), ["urgent-share-exceeded"]);
}

#[test]
fn urgent_steps_within_their_share_go_first() {
    let mut pool = one_slot(Span::from_secs(3_600));
    pool.tenant(0, TenantConfig { urgent_share_permille: 200, ..tenant_of(0, 1, FREE) });
    pool.saturate(Time(0), in_lane(Lane::Normal, 0), 10);
    for second in 0..100 {
        pool.submit(Time(second * SECOND + 50_000), in_lane(Lane::Urgent, 0), 1);
    }
    pool.run_until(Time(100 * SECOND));
    let is_urgent = |start: &&Start| pool.entry(start.ticket).lane == Lane::Urgent;
    let late = |start: &&Start| start.at.0 % SECOND > 150_000;
    assert_eq!(pool.starts.iter().filter(is_urgent).count(), 100);
    assert_eq!(pool.starts.iter().filter(is_urgent).filter(late).count(), 0, "none waits its turn");
    assert!(pool.log.is_empty(), "there is nothing to tell");
}

#[test]
fn a_closed_gate_parks_its_class_after_one_try_and_nothing_else() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    pool.closed.insert(9, 900);
    pool.submit(Time(0), Work { class: 9, ..work(0, STEP) }, 1_000);
    pool.submit(Time(0), work(0, STEP), 50);
    pool.submit(Time(0), work(1, STEP), 50);
    pool.run_until(Time(10 * SECOND));
    assert_eq!(pool.starts.len(), 100, "all that may start has started");
    assert_eq!(pool.tries(), 101, "a thousand steps behind one gate cost one try");
    assert_eq!(
        pool.scheduler.explain(pool.now, &pool.entry(500)),
        Wait::Parked { key: 900, since: Time(0) }
    );
}

#[test]
fn classes_are_woken_as_many_at_a_time_as_asked_for_the_longest_parked_first() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1; 5]);
    pool.closed.insert(9, 900);
    for tenant in 0..5 {
        let at = Time(u64::from(tenant) * SECOND);
        pool.submit(at, Work { class: 9, ..work(tenant, STEP) }, 1);
    }
    pool.run_until(Time(9 * SECOND));
    pool.closed.clear();
    pool.scheduler.wake(pool.now, 900, 2);
    pool.scheduler.wake(pool.now, 901, 9);
    pool.run_until(Time(19 * SECOND));
    assert_eq!(pool.starts.iter().map(|start| start.tenant).collect::<Vec<_>>(), [0, 1]);
    pool.scheduler.wake(pool.now, 900, 9);
    pool.run_until(Time(29 * SECOND));
    assert_eq!(pool.starts.len(), 5);
}

#[test]
fn a_withdrawn_step_is_gone_and_the_others_keep_their_order() {
    let mut pool = one_slot(Span::from_secs(3_600));
    pool.submit(Time(0), work(0, STEP), 6);
    pool.run_until(Time(0));
    for ticket in [3, 1, 5] {
        let entry = pool.entry(ticket);
        assert!(pool.scheduler.withdraw(pool.now, &entry), "{ticket} waits");
        assert!(!pool.scheduler.withdraw(pool.now, &entry), "{ticket} waits no more");
    }
    let running = pool.entry(0);
    assert!(!pool.scheduler.withdraw(pool.now, &running), "what runs does not wait");
    pool.run_until(Time(SECOND));
    assert_eq!(tickets(&pool), [0, 2, 4]);
}
