//! Dimension 4: what one tenant has does not delay another by more than the bound.

use std::cell::Cell;

use super::*;

/// Reviewers take `c` for each review and come back for the next: when each review of the tenant was taken.
fn taken_at(reviews: &mut Reviews, (reviewers, c): (usize, u64), tenant: u32) -> Vec<u64> {
    let mut free: BTreeSet<(u64, usize)> = (0..reviewers).map(|at| (0, at)).collect();
    let (mut taken, mut fence) = (Vec::new(), 0);
    while let Some((now, at)) = free.pop_first() {
        fence += 1;
        let name = person(&format!("p{at}"));
        let Some(found) = reviews.claim_next(Time(now), &name, (None, fence), &zone) else {
            continue;
        };
        let owner = reviews.item(found).unwrap().tenant();
        if owner == tenant {
            taken.push(now);
        }
        let decision = decision(name.as_str(), fence, "approved");
        reviews.decide(Time(now), found, &decision, &zone).unwrap();
        free.insert((now + c, at));
    }
    taken
}

fn named(count: usize) -> Reviews {
    let names: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
    shared(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn five_thousand_reviews_of_one_tenant_delay_two_of_another_by_three() {
    for reviewers in [1, 2, 3, 7] {
        let mut reviews = named(reviewers);
        let c = 10_000;
        for number in 0..5_000 {
            assert!(reviews.open(ask(number)));
        }
        // The two come last, and are due last.
        for number in [9_000, 9_001] {
            assert!(reviews.open(Ask { tenant: 2, due: Time(7_200_000_000), ..ask(number) }));
        }
        let taken = taken_at(&mut reviews, (reviewers, c), 2);
        // N_1 = 1, N_2 = 3: nobody was passed over, no claim came to nothing.
        for (others, at) in [1_u64, 3].iter().zip(&taken) {
            let bound = (others / reviewers as u64 + 1) * c;
            assert!(*at <= bound, "{reviewers} reviewers: at {at}, and the bound is {bound}");
        }
        assert_eq!(taken.len(), 2);
        assert!(reviews.is_empty());
    }
}

#[test]
fn a_tenant_waits_for_no_more_than_the_bound_whatever_the_weights() {
    for seed in 0..200_u64 {
        let draw = |salt: u64, below: u64| crate::id::mix(seed * 1_000 + salt) % below;
        let mut reviews = named(1);
        let tenants = 2 + u32::try_from(draw(0, 5)).unwrap();
        let weight = |tenant: u32| 1 + u32::try_from(draw(10 + u64::from(tenant), 9)).unwrap();
        let mut next = 0;
        for tenant in 1..tenants {
            for _ in 0..draw(20 + u64::from(tenant), 200) {
                next += 1;
                reviews.open(Ask { tenant, weight: weight(tenant), ..ask(next) });
            }
        }
        // Some are served before the tenant comes.
        for fence in 0..draw(1, 50) {
            if let Some(found) = reviews.claim_next(Time(0), &person("p0"), (None, fence), &zone) {
                reviews.decide(Time(0), found, &decision("p0", fence, "rejected"), &zone).unwrap();
            }
        }
        for number in 0..10 {
            let due = Time(9_000_000_000);
            reviews.open(Ask { tenant: 99, weight: weight(99), due, ..ask(10_000 + number) });
        }
        let taken = taken_at(&mut reviews, (1, 1), 99);
        assert_eq!(taken.len(), 10);
        for (k, at) in (0_u64..).zip(taken) {
            let turns = |tenant| k * u64::from(weight(tenant)) / u64::from(weight(99)) + 1;
            let bound: u64 = k + (1..tenants).map(turns).sum::<u64>();
            assert!(at <= bound, "seed {seed}: review {k} after {at}, and the bound is {bound}");
        }
    }
}

#[test]
fn a_lower_class_is_served_after_the_bound_and_takes_no_more_than_its_part() {
    let mut reviews = shared(&["p0"]);
    for number in 0..1_000 {
        reviews.open(Ask { class: 0, ..ask(number) });
    }
    for number in 1_000..1_010 {
        reviews.open(Ask { class: 3, tenant: 2, ..ask(number) });
        reviews.open(Ask { class: 5, tenant: 3, ..ask(number + 1_000) });
    }
    let mut gap = BTreeMap::from([(2, 0_u32), (3, 0)]);
    let mut longest = 0;
    for fence in 0..100 {
        let found = reviews.claim_next(Time(0), &person("p0"), (None, fence), &zone).unwrap();
        let tenant = reviews.item(found).unwrap().tenant();
        reviews.decide(Time(0), found, &decision("p0", fence, "approved"), &zone).unwrap();
        let open = |tenant: u32| reviews.items().any(|(_, item)| item.tenant() == tenant);
        for (other, passed) in &mut gap {
            *passed = if *other == tenant || !open(*other) { 0 } else { *passed + 1 };
            longest = longest.max(*passed);
        }
    }
    // `class_bound` is 3, and one other lower class can come first.
    assert_eq!(longest, 4);
    let high = reviews.items().filter(|(_, item)| item.tenant() == 1).count();
    assert_eq!(1_000 - high, 80, "the lower classes had ten each");
}

#[test]
fn a_tenant_that_nobody_could_serve_catches_up_on_one_review_only() {
    let mut reviews = Reviews::default();
    let mut far = member("far");
    far.region = Some(region("us"));
    reviews.put_pool(Arc::new(pool("shared", vec![member("near"), far])), &number);
    for number in 0..100 {
        reviews.open(Ask { facts: 1, ..ask(number) });
        reviews.open(Ask { tenant: 2, ..ask(number + 1_000) });
    }
    let mut order = Vec::new();
    for fence in 0..20 {
        // The one who is outside works alone first.
        let name = if fence < 10 { "far" } else { "near" };
        let found = reviews.claim_next(Time(0), &person(name), (None, fence), &zone).unwrap();
        order.push(reviews.item(found).unwrap().tenant());
        reviews.decide(Time(0), found, &decision(name, fence, "approved"), &zone).unwrap();
    }
    assert_eq!(order[..10], [2; 10]);
    assert_eq!(order[10..].iter().filter(|tenant| **tenant == 1).count(), 6, "{order:?}");
}

#[test]
fn reviews_that_a_person_may_not_decide_are_passed_over_together() {
    let mut reviews = Reviews::default();
    let mut far = member("far");
    far.region = None;
    reviews.put_pool(Arc::new(pool("shared", vec![far])), &number);
    for number in 0..5_000 {
        let tenant = u32::try_from(number % 50).unwrap();
        reviews.open(Ask { facts: 1, tenant, ..ask(number) });
    }
    reviews.open(Ask { tenant: 99, ..ask(9_000) });
    let asked = Cell::new(0);
    let counting = |member: &Member, need: &Need| {
        asked.set(asked.get() + 1);
        zone(member, need)
    };
    let found = reviews.claim_next(Time(0), &person("far"), (None, 1), &counting);
    assert_eq!(found, Some(id(9_000)));
    // Two needs in one class.
    assert_eq!(asked.get(), 2);
    assert_eq!(reviews.claim_next(Time(0), &person("far"), (None, 2), &zone), None);
}

#[test]
fn reviews_that_exclude_a_person_are_passed_over_together() {
    let mut reviews = shared(&["ada", "bob"]);
    for number in 0..1_000 {
        reviews.open(Ask { excluded: [person("ada")].into(), ..ask(number) });
    }
    reviews.open(Ask { due: Time(9_000_000_000), ..ask(5_000) });
    let found = reviews.claim_next(Time(0), &person("ada"), (None, 1), &zone);
    assert_eq!(found, Some(id(5_000)));
    assert_eq!(reviews.list(&person("ada"), None, 10, &zone), []);
    assert_eq!(reviews.list(&person("bob"), None, 2_000, &zone).len(), 1_000);
}

#[test]
fn a_tenant_without_reviews_is_forgotten() {
    let mut reviews = shared(&["p0"]);
    for number in 0..100 {
        reviews.open(Ask { tenant: u32::try_from(number).unwrap(), ..ask(number) });
    }
    taken_at(&mut reviews, (1, 1), 0);
    assert_eq!(reviews.desks[0].queues[4].remembered(), 0);
}
