//! P2: between tenants with work waiting, service per weight stays within the bound, at every level.

use super::pool::*;
use super::reference::{OrgDemand, SLOT, TenantDemand, fair_shares};
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

/// Random trees under full load. A tenant without a cap, or alone in its organisation, has the service of the
/// reference. Slots are whole and an organisation holds more of them now and fewer then: a tenant that its cap keeps
/// from using the many and that has to wait with the few gets less than the average says, and its siblings use that.
#[test]
fn service_under_full_load_is_that_of_the_reference() {
    for seed in 0..40 {
        let (mut pool, tree) = random_tree(&mut Dice(seed));
        let time = 10 * SECOND;
        pool.run_until(Time(time));
        let shares = fair_shares(tree.slots, &tree.orgs);
        let mut tenant = 0;
        for (org, shares) in tree.orgs.iter().zip(shares) {
            for (demand, share) in org.tenants.iter().zip(shares) {
                let expected = share * u128::from(time) / SLOT;
                let is_exact = demand.limit >= tree.slots || org.tenants.len() == 1;
                let steps = 2 * u128::from(tree.longest.0);
                let missing = steps + if is_exact { expected / 50 } else { expected / 2 };
                let got = pool.service(tenant);
                assert!(
                    got + missing >= expected,
                    "seed {seed}, tenant {tenant} of {tree:?}: {got} and not {expected}"
                );
                tenant += 1;
            }
        }
    }
}

#[derive(Debug)]
struct Tree {
    slots: u32,
    longest: Span,
    orgs: Vec<OrgDemand>,
}

/// Up to five organisations of up to four tenants, all of them with work waiting all the time.
fn random_tree(dice: &mut Dice) -> (Pool, Tree) {
    let mut number = |most: u32| u32::try_from(dice.between(1, most.into())).expect("small");
    let slots = number(40);
    let longest_ms = 10 + number(190);
    let longest = Span::from_millis(longest_ms.into());
    let mut pool = Pool::new(config(slots));
    let mut orgs: Vec<OrgDemand> = Vec::new();
    let mut tenants = 0;
    for org in 0..number(5) {
        let (weight, cap) = (number(5), (number(3) == 1).then(|| number(12)));
        pool.org(org, weight, cap);
        let mut demands = Vec::new();
        for _ in 0..number(4) {
            let weight = number(5);
            let limit = if number(3) == 1 { number(10) } else { 100 };
            demands.push(TenantDemand { weight, limit });
            pool.tenant(tenants, tenant_of(org, weight, limit));
            let length = (Span::from_millis(number(longest_ms).into()), longest);
            pool.saturate(Time(0), Work { length, ..work(tenants, longest) }, 100);
            tenants += 1;
        }
        orgs.push(OrgDemand { weight, cap, tenants: demands });
    }
    (pool, Tree { slots, longest, orgs })
}
