//! Workers that are there for some tenants only, while others wait for whom nobody is.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

const SLOTS: u32 = 4;
const SERVED: [TenantIx; 2] = [TenantIx(1), TenantIx(2)];

/// Tenant 0 waits, and somebody is there for the tenants 1 and 2 only.
fn stuck(weights: &[u32; 3]) -> Pool {
    let mut pool = Pool::new(config(SLOTS));
    pool.tenants(weights);
    pool.saturate(Time(0), work(0, ms(50)), 2 * SLOTS);
    pool.served = Some(SERVED.into());
    pool
}

/// The same, with all three in one organisation beside another one, which is served by turns.
fn stuck_together() -> Pool {
    let mut pool = Pool::new(config(SLOTS));
    pool.org(0, 1, None);
    pool.org(1, 1, None);
    for tenant in 0..3 {
        pool.tenant(tenant, tenant_of(0, 1, FREE));
    }
    pool.tenant(3, tenant_of(1, 1, FREE));
    pool.saturate(Time(0), work(0, ms(50)), 2 * SLOTS);
    pool.served = Some(SERVED.into());
    pool
}

const fn ms(ms: u64) -> Span {
    Span::from_millis(ms)
}

const fn at(second: u64) -> Time {
    Time(second * SECOND)
}

/// Runs on by these seconds, and gives what the tenants had meanwhile, in slot-milliseconds.
fn gained(pool: &mut Pool, seconds: u64) -> Vec<u64> {
    let before: Vec<_> = (0..4).map(|tenant| pool.service_ms(tenant)).collect();
    pool.run_until(pool.now + Span::from_secs(seconds));
    (0..4).zip(before).map(|(tenant, before)| pool.service_ms(tenant) - before).collect()
}

#[test]
fn who_comes_late_takes_nothing_for_the_time_before() {
    for mut pool in [stuck(&[1, 1, 1]), stuck_together()] {
        pool.saturate(at(0), work(1, ms(50)), 2 * SLOTS);
        pool.saturate(at(100), work(2, ms(50)), 2 * SLOTS);
        pool.run_until(at(100));
        assert_eq!((pool.service_ms(0), pool.service_ms(1)), (0, 400_000));
        let had = gained(&mut pool, 2);
        assert!(had[1].abs_diff(had[2]) <= 1_000, "of 8,000: {had:?}");
        let had = gained(&mut pool, 20);
        assert!(had[1].abs_diff(had[2]) <= 1_000, "of 80,000: {had:?}");
    }
}

#[test]
fn short_steps_do_not_keep_a_long_one_from_its_turn() {
    for weights in [[1, 1, 1], [1, 1, 3]] {
        let mut pool = stuck(&weights);
        pool.saturate(at(0), work(1, ms(20)), 2 * SLOTS);
        pool.saturate(at(0), work(2, ms(5_000)), 2 * SLOTS);
        // Half of the time the workers are there for the one with the short steps only, and so it is moved back then.
        for second in 0..600 {
            let common = if second % 2 == 0 { &SERVED[..] } else { &SERVED[..1] };
            pool.served = Some(common.into());
            pool.run_until(at(second));
        }
        let share = u64::from(weights[2]) * 2_400_000 / u64::from(weights[1] + weights[2]);
        let long = pool.service_ms(2);
        assert!(2 * long > share && long < share + 100_000, "{long} of {share}");
    }
}

#[test]
fn what_was_had_before_ones_turn_is_not_owed_for_ever() {
    for mut pool in [stuck(&[1, 1, 1]), stuck_together()] {
        pool.saturate(at(0), work(1, ms(50)), 2 * SLOTS);
        pool.saturate(at(0), work(2, ms(80)), 2 * SLOTS);
        pool.run_until(at(600));
        pool.served = None;
        // Tenant 0 has waited for ten minutes, and the others had everything.
        let had = gained(&mut pool, 3);
        assert!(had[1] > 1_000 && had[2] > 1_000, "of 12,000: {had:?}");
        let had = gained(&mut pool, 30);
        assert!(had[..3].iter().all(|had| had.abs_diff(40_000) < 2_000), "{had:?}");
    }
}

#[test]
fn who_is_served_by_turns_pays_for_none_of_it() {
    let mut pool = stuck(&[1, 1, 1]);
    pool.tenant(3, tenant_of(0, 1, FREE));
    pool.saturate(at(0), work(1, ms(50)), 2 * SLOTS);
    pool.saturate(at(0), work(3, ms(3_000)), 2 * SLOTS);
    for second in 0..1_200 {
        // One common worker in three: what the tenant has through its own is no reason to give others less of it.
        pool.served = (second % 3 != 0).then(|| SERVED[..1].into());
        pool.run_until(at(second));
    }
    let (short, long) = (pool.service_ms(0), pool.service_ms(3));
    assert!(short.abs_diff(long) < (short + long) / 10, "{short} and {long}");
}
