//! The bounds that the module's documentation derives, and what they mean for a quiet tenant.

use super::pool::*;
use crate::scheduler::*;
use crate::time::{Span, Time};

/// Organisations of one tenant each, of these weights, with steps of these lengths, all with work waiting; at most
/// `(W_i/w_i - W_j/w_j) * w_i * w_j` may lie between any two of them in any interval.
fn check_bound(slots: u32, flows: &[(u32, Span)]) {
    let mut pool = Pool::new(config(slots));
    let weights: Vec<u32> = flows.iter().map(|(weight, _)| *weight).collect();
    pool.tenants(&weights);
    for (tenant, (_, longest)) in (0..).zip(flows) {
        let length = (Span(longest.0 / 4 + 1), *longest);
        pool.saturate(Time(0), Work { length, ..work(tenant, *longest) }, 2 * slots);
    }
    let mut history: Vec<Vec<u128>> = Vec::new();
    for at in 0..150 {
        pool.run_until(Time(at * 130_000));
        history.push((0..).zip(flows).map(|(tenant, _)| pool.service(tenant)).collect());
    }
    let (d, ahead) = (u128::from(slots), 10_000);
    let of = |at: usize| (u128::from(flows[at].0), u128::from(flows[at].1.0));
    for (begin, end) in (0..150).flat_map(|end| (0..end).step_by(7).map(move |begin| (begin, end)))
    {
        for (i, j) in (0..flows.len()).flat_map(|j| (0..j).map(move |i| (i, j))) {
            let ((wi, ci), (wj, cj)) = (of(i), of(j));
            let gained = |at: usize| history[end][at] - history[begin][at];
            let apart = (gained(i) * wj).abs_diff(gained(j) * wi);
            let bound = (d + 1) * (ci * wj + cj * wi) + 2 * d * ahead * (wi + wj);
            assert!(apart <= bound, "{apart} is above {bound} for {i} and {j} of {flows:?}");
        }
    }
}

#[test]
fn real_service_of_two_flows_stays_within_the_bound_in_every_interval() {
    let ms = Span::from_millis;
    check_bound(1, &[(1, ms(40)), (1, ms(400))]);
    check_bound(4, &[(1, ms(5)), (3, ms(250)), (2, ms(30))]);
    check_bound(16, &[(7, ms(900)), (1, ms(4)), (1, ms(90)), (5, ms(20))]);
}

#[test]
fn tags_of_flows_that_are_charged_as_they_go_stay_within_a_quantum() {
    let mut pool = Pool::new(config(5));
    let weights = [1, 2, 5, 9];
    pool.tenants(&weights);
    for tenant in 0..4 {
        // A step of exactly a quantum is neither charged further nor given anything back.
        pool.saturate(Time(0), work(tenant, Span::from_millis(10)), 20);
    }
    for at in 0..2_000 {
        pool.run_until(Time(at * 10_000));
        let tags: Vec<u128> = pool
            .scheduler
            .orgs
            .iter()
            .map(|org| pool.scheduler.tree.flows[org.flow].start >> 20)
            .collect();
        for (i, j) in (0..4).flat_map(|j| (0..j).map(move |i| (i, j))) {
            let bound = 10_000 / u128::from(weights[i].min(weights[j]));
            let apart = tags[i].abs_diff(tags[j]);
            assert!(apart <= bound + 1, "{tags:?} at {at}: {apart} is above {bound}");
        }
    }
}

#[test]
fn a_step_of_a_quiet_tenant_waits_no_longer_than_for_the_next_release() {
    let mut pool = Pool::new(config(100));
    pool.tenants(&vec![1; 200]);
    pool.tenant(0, tenant_of(0, 1, 20));
    let step = (Span::from_millis(30), Span::from_millis(60));
    pool.submit(Time(0), Work { length: step, ..work(0, Span::ZERO) }, 5_000);
    let mut dice = Dice(3);
    let mut came = Vec::new();
    for tenant in 1..200 {
        let at = Time(dice.roll(3 * SECOND));
        came.push(at);
        pool.submit(at, Work { length: step, ..work(tenant, Span::ZERO) }, 1);
    }
    pool.run_until(Time(20 * SECOND));
    for (tenant, came) in (1..).zip(came) {
        assert_eq!(pool.starts_of(tenant), [came], "80 slots are free of the noisy tenant");
    }
    assert_eq!(pool.peaks[&0], 20);
    let expected = 5_000 * 45;
    assert!(pool.service_ms(0).abs_diff(expected) < expected / 50, "its own burst is worked off");
}

#[test]
fn where_the_noisy_tenant_holds_everything_a_quiet_one_is_next() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    let step = (Span::from_millis(30), Span::from_millis(60));
    pool.saturate(Time(0), Work { length: step, ..work(0, Span::ZERO) }, 50);
    for second in 1..30 {
        pool.submit(Time(second * SECOND), work(1, Span::from_millis(5)), 1);
    }
    pool.run_until(Time(40 * SECOND));
    for (second, started) in (1..30).zip(pool.starts_of(1)) {
        let waited = started.since(Time(second * SECOND));
        assert!(waited <= Span::from_millis(30), "one of ten slots is free within that: {waited}");
    }
}

#[test]
fn many_tenants_of_one_organisation_buy_no_share() {
    let mut pool = Pool::new(config(10));
    pool.org(0, 1, None);
    pool.org(1, 1, None);
    for tenant in 0..50 {
        pool.tenant(tenant, tenant_of(0, 9, FREE));
        pool.saturate(Time(0), work(tenant, Span::from_millis(20)), 3);
    }
    pool.tenant(50, tenant_of(1, 1, FREE));
    pool.saturate(Time(0), work(50, Span::from_millis(20)), 20);
    pool.run_until(Time(20 * SECOND));
    let alone = pool.service_ms(50);
    assert!(alone.abs_diff(100_000) < 1_000, "half of 200 slot-seconds, not {alone} ms");
}

#[test]
fn many_workflows_and_lanes_of_one_tenant_buy_no_share() {
    let mut pool = Pool::new(config(10));
    pool.tenants(&[1, 1]);
    for class in 0..40 {
        for lane in [Lane::Urgent, Lane::Normal, Lane::Background] {
            let step = Work { lane, class, ..work(0, Span::from_millis(20)) };
            pool.saturate(Time(0), step, 2);
        }
    }
    pool.saturate(Time(0), work(1, Span::from_millis(20)), 20);
    pool.run_until(Time(20 * SECOND));
    let alone = pool.service_ms(1);
    assert!(alone.abs_diff(100_000) < 1_000, "half of 200 slot-seconds, not {alone} ms");
}
