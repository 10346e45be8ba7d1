//! Due times: the ladder, its end, and that nothing approves itself.

use super::*;

fn rung(pool: Option<&str>, class: Option<u8>) -> Escalation {
    let pool = pool.map(pool_name);
    Escalation { pool, class, notify: true, within: Span::from_secs(60) }
}

fn two_pools(escalate: Vec<Escalation>) -> Reviews {
    let mut reviews = shared(&["ada"]);
    reviews.put_pool(Arc::new(pool("seniors", vec![member("eve")])), &number);
    let terms = Arc::new(Terms { escalate, ..terms() });
    reviews.open(Ask { terms, due: Time(1_000), ..ask(1) });
    reviews
}

#[test]
fn the_ladder_is_gone_up_and_then_the_review_ends() {
    let mut reviews = two_pools(vec![rung(None, Some(1)), rung(Some("seniors"), Some(6))]);
    assert!(reviews.pass(Time(999)).is_none());
    reviews.pass(Time(1_000)).unwrap();
    let item = reviews.item(id(1)).unwrap();
    assert_eq!(reviews.place(item), (&pool_name("shared"), 1));
    assert_eq!(item.due, Time(60_001_000));
    reviews.pass(item.due).unwrap();
    let item = reviews.item(id(1)).unwrap();
    // A class never becomes a lower one.
    assert_eq!(reviews.place(item), (&pool_name("seniors"), 1));
    assert_eq!(reviews.list(&person("ada"), None, 9, &zone), []);
    assert_eq!(reviews.list(&person("eve"), None, 9, &zone), [id(1)]);
    let due = item.due;
    assert!(matches!(reviews.pass(due), Some(Event::Overdue { .. })));
    assert!(reviews.is_empty() && reviews.next_due().is_none());
}

#[test]
fn a_claim_survives_a_rung_that_leaves_the_review_where_it_is() {
    let mut reviews = two_pools(vec![rung(None, Some(1)), rung(Some("seniors"), None)]);
    reviews.claim(Time(900), id(1), (&person("ada"), 5), &zone).unwrap();
    let Some(Event::Escalated { lost: None, .. }) = reviews.pass(Time(1_000)) else {
        panic!("the claim stays");
    };
    reviews.claim(Time(50_000_000), id(1), (&person("ada"), 6), &zone).unwrap();
    let Some(Event::Escalated { lost: Some(lost), .. }) = reviews.pass(Time(60_001_000)) else {
        panic!("the claim is over");
    };
    assert_eq!(lost, person("ada"));
    let late = reviews.decide(Time(60_001_001), id(1), &decision("ada", 5, "approved"), &zone);
    assert_eq!(late.map(drop), Err(Refused::ClaimOver(Over::Escalated)));
    reviews.claim(Time(60_001_001), id(1), (&person("eve"), 7), &zone).unwrap();
}

#[test]
fn a_review_that_would_approve_itself_is_known() {
    let overdue = |name: &str| Overdue::Outcome(OutcomeName::parse(name).unwrap());
    assert!(Terms { on_overdue: overdue("approved"), ..terms() }.approves_itself());
    assert!(Terms { on_overdue: overdue("unheard-of"), ..terms() }.approves_itself());
    assert!(!Terms { on_overdue: overdue("rejected"), ..terms() }.approves_itself());
    let outcomes = vec![Outcome { name: OutcomeName::parse("ok").unwrap(), approving: true }];
    assert!(Terms { outcomes, on_overdue: overdue("ok"), ..terms() }.approves_itself());
}

#[test]
fn an_expired_claim_opens_the_review_at_its_place() {
    let mut reviews = shared(&["ada", "bob"]);
    for number in 1..4 {
        reviews
            .open(Ask { due: Time(1_000_000_000 + u64::try_from(number).unwrap()), ..ask(number) });
    }
    reviews.open(Ask { tenant: 2, ..ask(9) });
    let next = |reviews: &mut Reviews, now, fence| {
        reviews.claim_next(Time(now), &person("ada"), (None, fence), &zone)
    };
    assert_eq!(next(&mut reviews, 0, 1), Some(id(1)));
    assert!(reviews.pass(Time(60_000_000)).is_some());
    // What its tenant was charged is given back.
    assert_eq!(next(&mut reviews, 60_000_000, 2), Some(id(1)));
    assert_eq!(next(&mut reviews, 60_000_000, 3), Some(id(9)));
}

#[test]
fn a_standing_says_what_comes_first_and_why_nobody_can_take_it() {
    let mut reviews = shared(&["ada"]);
    let mut far = member("far");
    far.region = None;
    for number in 0..5_000 {
        reviews.open(ask(number));
    }
    for number in [9_000, 9_001] {
        reviews.open(Ask { facts: 1, tenant: 2, due: Time(9_000_000_000), ..ask(number) });
    }
    let standing = reviews.standing(id(9_001), &zone).unwrap();
    assert_eq!((standing.before, standing.able), (3, 1));
    assert_eq!(reviews.standing(id(4_999), &zone).unwrap().before, 5_001);
    reviews.open(Ask { class: 0, ..ask(10_000) });
    assert_eq!(reviews.standing(id(9_001), &zone).unwrap().higher, 1);
    reviews.put_pool(Arc::new(pool("shared", vec![far])), &number);
    let standing = reviews.standing(id(9_001), &zone).unwrap();
    assert_eq!((standing.able, standing.barred), (0, vec![(Barrier::Zone, 1)]));
}

#[test]
fn what_was_stored_comes_back_with_its_fence() {
    let mut reviews = shared(&["ada", "bob"]);
    reviews.open(Ask { terms: Arc::new(Terms { persons: 2, ..terms() }), ..ask(1) });
    let outcome = OutcomeName::parse("approved").unwrap();
    let stored = Stored {
        rung: 0,
        claim: Some(Claim { person: person("bob"), fence: 7, until: Time(60_000_000) }),
        votes: vec![person("ada")],
        proposal: Some(Proposal { outcome, digest: [2; 32] }),
    };
    reviews.restore(id(1), stored);
    assert_eq!(reviews.list(&person("ada"), None, 9, &zone), []);
    let right = Decision { digest: [2; 32], ..decision("bob", 7, "approved") };
    let decided = reviews.decide(Time(1), id(1), &right, &zone).unwrap();
    assert!(matches!(decided, Decided::Ended { by, .. } if by.len() == 2));
}
