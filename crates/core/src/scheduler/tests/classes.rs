//! Slot classes: a pool can bound the slots that long steps hold, so that short ones never wait for all of them.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const LONG: Span = Span::from_secs(60);
const SHORT: Span = Span::from_millis(50);

/// Ten slots, of which long steps hold three.
fn pool() -> Pool {
    let long = LongClass { over: Span::from_secs(10), share_permille: 300 };
    let mut pool = Pool::new(PoolConfig { long: Some(long), ..config(10) });
    pool.tenants(&[1, 1, 1]);
    pool
}

#[test]
fn long_steps_hold_no_more_than_their_part_even_where_slots_are_idle() {
    let mut pool = pool();
    pool.submit(Time(0), work(0, LONG), 20);
    pool.run_until(Time(SECOND));
    assert_eq!(pool.in_flight(0), 3);
    let waiting = pool.entry(10);
    assert_eq!(
        pool.scheduler.explain(pool.now, &waiting),
        Wait::LongSlots { in_flight: 3, cap: 3 }
    );
}

#[test]
fn a_short_step_finds_a_slot_at_once_beside_any_number_of_long_ones() {
    let mut pool = pool();
    pool.submit(Time(0), work(0, LONG), 20);
    pool.submit(Time(SECOND), work(0, SHORT), 4);
    pool.submit(Time(SECOND), work(1, SHORT), 3);
    pool.run_until(Time(SECOND));
    assert_eq!(
        (pool.in_flight(0), pool.in_flight(1)),
        (7, 3),
        "its own and others' short steps start"
    );
}

#[test]
fn long_slots_are_shared_fairly_too() {
    let mut pool = pool();
    pool.saturate(Time(0), work(0, Span::from_secs(11)), 10);
    pool.saturate(Time(0), work(1, Span::from_secs(11)), 10);
    pool.saturate(Time(0), work(2, Span::from_secs(1)), 20);
    pool.run_until(Time(600 * SECOND));
    let (one, two) = (pool.service_ms(0), pool.service_ms(1));
    assert_eq!(one + two, 3 * 600_000, "the long slots are used all the time");
    assert!(one.abs_diff(two) <= 4 * 11_000, "{one} ms and {two} ms");
    assert_eq!(pool.service_ms(2), 7 * 600_000);
}

#[test]
fn a_tenant_of_long_steps_gathers_no_claim_on_the_slots_that_it_could_not_use() {
    let mut pool = pool();
    pool.saturate(Time(0), work(0, Span::from_secs(11)), 10);
    pool.saturate(Time(0), work(1, Span::from_millis(500)), 20);
    pool.run_until(Time(600 * SECOND));
    // For ten minutes it held 3 slots of its 5. Now it has short steps as well.
    let before = (pool.service_ms(0), pool.service_ms(1));
    pool.saturate(pool.now, work(0, SHORT), 20);
    pool.run_until(Time(620 * SECOND));
    let (one, two) = (pool.service_ms(0) - before.0, pool.service_ms(1) - before.1);
    assert!(one.abs_diff(two) <= 30_000, "{one} ms and {two} ms of 20 s on 10 slots");
    assert!(two >= 60_000, "the other one is not shut out: {two} ms");
}

#[test]
fn when_the_valve_leaves_few_slots_long_steps_have_their_part_of_the_few() {
    let mut pool = pool();
    pool.scheduler.set_dispatchable(Time(0), 4);
    pool.submit(Time(0), work(0, LONG), 20);
    pool.submit(Time(SECOND), work(1, SHORT), 3);
    pool.run_until(Time(SECOND));
    assert_eq!((pool.in_flight(0), pool.in_flight(1)), (1, 3));
}

#[test]
fn what_is_long_can_be_declared_anew_while_steps_wait() {
    let mut pool = pool();
    pool.submit(Time(0), work(0, LONG), 20);
    pool.run_until(Time(SECOND));
    assert_eq!(pool.in_flight(0), 3);
    pool.scheduler.configure(pool.now, config(10));
    pool.dispatch();
    assert_eq!(pool.in_flight(0), 10);
}
