//! P2: between tenants with work waiting, service per weight stays within the bound, at every level.

use super::pool::*;
use crate::scheduler::PoolConfig;
use crate::time::{Span, Time};

#[test]
fn weights_of_one_and_two_share_one_to_two() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 2]);
    pool.saturate(Time(0), work(0, Span::from_millis(30)), 50);
    pool.saturate(Time(0), work(1, Span::from_millis(30)), 50);
    pool.run_until(Time(60 * SECOND));
    let (one, two) = (pool.service_ms(0), pool.service_ms(1));
    assert!(one + two == 600_000, "all slots are used all the time, not {one} + {two} ms");
    assert!((199_000..=201_000).contains(&one), "a third of 600 slot-seconds, not {one} ms");
}

#[test]
fn a_cap_of_five_leaves_the_rest_to_the_others() {
    let mut pool = Pool::new(config(15));
    pool.org(0, 1, None);
    pool.org(1, 2, Some(5));
    pool.tenant(0, tenant_of(0, 1, FREE));
    pool.tenant(1, tenant_of(0, 3, FREE));
    pool.tenant(2, tenant_of(1, 1, FREE));
    for tenant in 0..3 {
        pool.saturate(Time(0), work(tenant, Span::from_millis(30)), 50);
    }
    pool.run_until(Time(60 * SECOND));
    let held = [pool.service_ms(0), pool.service_ms(1), pool.service_ms(2)];
    assert!(held[2] == 300_000, "5 slots for 60 s, not {} ms", held[2]);
    assert!((149_000..=151_000).contains(&held[0]), "2.5 slots for 60 s, not {} ms", held[0]);
    assert!((449_000..=451_000).contains(&held[1]), "7.5 slots for 60 s, not {} ms", held[1]);
}

#[test]
fn a_tenant_whose_share_is_above_its_cap_holds_its_cap_all_the_time() {
    let mut pool = Pool::new(config(10));
    let many = 90;
    let mut weights = vec![1; many];
    weights.push(20);
    pool.tenants(&weights);
    pool.tenant(90, tenant_of(90, 1, 1));
    for tenant in 0..90 {
        pool.saturate(Time(0), work(tenant, Span::from_millis(10)), 2);
    }
    pool.saturate(Time(0), work(90, Span::from_millis(1)), 2);
    pool.run_until(Time(10 * SECOND));
    let held = pool.service_ms(90);
    assert!(held > 9_500, "one slot for nearly all of 10 s, not {held} ms");
}

/// An organisation among others holds more slots now and fewer then, and its tenant without a cap fills them with long
/// steps whenever the other one is at its cap. What that takes early must not cost the other one its slot later.
#[test]
fn long_steps_of_a_sibling_do_not_cost_a_capped_tenant_its_slot() {
    for sibling_ms in [6, 12, 20, 40, 100] {
        let mut pool = Pool::new(PoolConfig { quantum: Span::from_millis(2), ..config(5) });
        for (org, weight) in [(0, 2), (1, 3), (2, 2)] {
            pool.org(org, weight, None);
        }
        let tenants = [(0, FREE, 10), (1, 1, 6), (1, FREE, sibling_ms), (2, FREE, 29)].into_iter();
        for (tenant, (org, cap, length_ms)) in (0..).zip(tenants) {
            pool.tenant(tenant, tenant_of(org, 1, cap));
            pool.saturate(Time(0), work(tenant, Span::from_millis(length_ms)), 20);
        }
        pool.run_until(Time(20 * SECOND));
        let held: Vec<u64> = (0..4).map(|tenant| pool.service_ms(tenant)).collect();
        let due = [28_571, 20_000, 22_857, 28_571];
        for (held_ms, due_ms) in held.iter().zip(due) {
            assert!(
                held_ms.abs_diff(due_ms) <= 1_000,
                "{held:?} of {due:?} slot-ms, beside steps of {sibling_ms} ms"
            );
        }
    }
}
