//! What has no effect, and says why.

use super::*;

fn claimed(reviews: &mut Reviews, name: &str, fence: u64) {
    let at = Time(u64::from(u32::try_from(fence).unwrap()));
    reviews.claim(at, id(1), (&person(name), fence), &zone).unwrap();
}

fn refused(reviews: &mut Reviews, decision: &Decision) -> Refused {
    reviews.decide(Time(10), id(1), decision, &zone).unwrap_err()
}

#[test]
fn a_decision_has_an_effect_once_under_its_claim_on_what_was_shown() {
    let mut reviews = shared(&["ada", "bob"]);
    reviews.open(ask(1));
    let right = decision("ada", 5, "approved");
    assert_eq!(refused(&mut reviews, &right), Refused::NotClaimed);
    claimed(&mut reviews, "ada", 5);
    assert_eq!(refused(&mut reviews, &decision("bob", 5, "approved")), Refused::Claimed);
    assert_eq!(refused(&mut reviews, &decision("ada", 4, "approved")), Refused::StaleFence);
    let wrong = Decision { digest: [9; 32], ..right.clone() };
    assert_eq!(refused(&mut reviews, &wrong), Refused::WrongDigest);
    assert_eq!(refused(&mut reviews, &decision("ada", 5, "maybe")), Refused::UnknownOutcome);
    let decided = reviews.decide(Time(10), id(1), &right, &zone).unwrap();
    assert!(matches!(decided, Decided::Ended { by, .. } if by == [person("ada")]));
    assert_eq!(refused(&mut reviews, &right), Refused::Unknown);
}

#[test]
fn a_claim_that_is_over_decides_nothing() {
    let mut reviews = shared(&["ada", "bob"]);
    reviews.open(ask(1));
    claimed(&mut reviews, "ada", 5);
    let late = Time(60_000_005);
    let right = decision("ada", 5, "approved");
    let over = Err(Refused::ClaimOver(Over::Expired));
    assert_eq!(reviews.decide(late, id(1), &right, &zone).map(drop), over);
    assert!(matches!(reviews.pass(late), Some(Event::Expired { .. })));
    assert_eq!(reviews.decide(late, id(1), &right, &zone).map(drop), over);
    // Nor does it when somebody else has it, or when the same person has claimed it again.
    reviews.claim(late, id(1), (&person("bob"), 6), &zone).unwrap();
    assert_eq!(reviews.decide(late, id(1), &right, &zone).map(drop), over);
    reviews.release(id(1), &person("bob"), 6).unwrap();
    reviews.claim(late, id(1), (&person("ada"), 7), &zone).unwrap();
    let again = reviews.decide(late, id(1), &right, &zone).map(drop);
    assert_eq!(again, Err(Refused::StaleFence));
    let bob = reviews.decide(late, id(1), &decision("bob", 6, "approved"), &zone).map(drop);
    assert_eq!(bob, Err(Refused::ClaimOver(Over::Released)));
}

#[test]
fn a_claim_is_renewed_by_its_holder_and_taken_by_nobody_else() {
    let mut reviews = shared(&["ada", "bob"]);
    reviews.open(ask(1));
    claimed(&mut reviews, "ada", 5);
    let bob = reviews.claim(Time(6), id(1), (&person("bob"), 6), &zone);
    assert_eq!(bob, Err(Refused::Claimed));
    let renewed = reviews.claim(Time(50_000_000), id(1), (&person("ada"), 7), &zone).unwrap();
    assert_eq!((renewed.fence, renewed.until), (5, Time(110_000_000)));
    assert!(reviews.pass(Time(109_999_999)).is_none());
    assert!(reviews.pass(Time(110_000_000)).is_some());
    assert!(reviews.item(id(1)).unwrap().claim.is_none());
}

#[test]
fn eligibility_is_checked_at_the_claim_and_again_at_the_decision() {
    let mut reviews = shared(&["ada"]);
    let needs = Terms { skills: skills(&["credit"]), ..terms() };
    reviews.open(Ask { facts: 1, terms: Arc::new(needs), ..ask(1) });
    claimed(&mut reviews, "ada", 5);
    let right = decision("ada", 5, "approved");
    let lacks = |change: &dyn Fn(&mut Member)| {
        let mut ada = member("ada");
        change(&mut ada);
        Arc::new(pool("shared", vec![ada]))
    };
    let cases: [(Arc<ReviewerPool>, Barrier); 4] = [
        (lacks(&|ada| ada.region = Some(region("us"))), Barrier::Zone),
        (lacks(&|ada| ada.region = None), Barrier::Zone),
        (lacks(&|ada| ada.skills.clear()), Barrier::Skill(SkillName::parse("credit").unwrap())),
        (lacks(&|ada| ada.tenants = Some([TenantId::parse("2").unwrap()].into())), Barrier::Tenant),
    ];
    for (pool, barrier) in cases {
        reviews.put_pool(pool, &number);
        assert_eq!(refused(&mut reviews, &right), Refused::Barred(barrier.clone()));
        let claim = reviews.claim(Time(9), id(1), (&person("ada"), 9), &zone);
        assert_eq!(claim, Err(Refused::Barred(barrier)));
    }
    reviews.put_pool(Arc::new(pool("shared", Vec::new())), &number);
    assert_eq!(refused(&mut reviews, &right), Refused::Barred(Barrier::NotMember));
    reviews.put_pool(Arc::new(pool("shared", vec![member("ada")])), &number);
    assert!(reviews.decide(Time(10), id(1), &right, &zone).is_ok());
}

#[test]
fn four_eyes_are_two_persons_who_say_the_same_of_the_same() {
    let mut reviews = shared(&["ada", "bob", "cleo"]);
    let terms = Arc::new(Terms { persons: 2, ..terms() });
    reviews.open(Ask { excluded: [person("cleo")].into(), terms, ..ask(1) });
    let cleo = reviews.claim(Time(0), id(1), (&person("cleo"), 1), &zone);
    assert_eq!(cleo, Err(Refused::Barred(Barrier::Excluded)));
    claimed(&mut reviews, "ada", 5);
    let first = reviews.decide(Time(10), id(1), &decision("ada", 5, "approved"), &zone).unwrap();
    assert!(matches!(first, Decided::Needs(1)));
    let again = reviews.claim(Time(11), id(1), (&person("ada"), 6), &zone);
    assert_eq!(again, Err(Refused::Barred(Barrier::Voted)));
    assert_eq!(reviews.claim_next(Time(11), &person("ada"), (None, 6), &zone), None);
    // Bob looks at what Ada has approved, and edits it: it is his proposal now, and Ada has not seen it.
    claimed(&mut reviews, "bob", 7);
    let stale = decision("bob", 7, "approved");
    assert_eq!(refused(&mut reviews, &stale), Refused::WrongDigest);
    let edited = Decision { digest: [2; 32], result: [3; 32], ..stale };
    let second = reviews.decide(Time(12), id(1), &edited, &zone).unwrap();
    assert!(matches!(second, Decided::Needs(1)));
    claimed(&mut reviews, "ada", 8);
    let agrees = Decision { digest: [3; 32], result: [3; 32], ..decision("ada", 8, "approved") };
    let Decided::Ended { by, .. } = reviews.decide(Time(13), id(1), &agrees, &zone).unwrap() else {
        panic!("two have said the same");
    };
    assert_eq!(by, [person("bob"), person("ada")]);
}

#[test]
fn one_who_rejects_is_enough() {
    let mut reviews = shared(&["ada", "bob"]);
    reviews.open(Ask { terms: Arc::new(Terms { persons: 2, ..terms() }), ..ask(1) });
    claimed(&mut reviews, "ada", 5);
    let decided = reviews.decide(Time(10), id(1), &decision("ada", 5, "rejected"), &zone).unwrap();
    assert!(matches!(decided, Decided::Ended { by, .. } if by == [person("ada")]));
}

#[test]
fn a_broken_glass_lets_no_one_from_outside_in() {
    let mut reviews = Reviews::default();
    let mut far = member("far");
    far.region = Some(region("us"));
    reviews.put_pool(Arc::new(pool("shared", vec![member("ada"), far])), &number);
    let terms = Arc::new(Terms { persons: 2, ..terms() });
    reviews.open(Ask { facts: 1, terms, excluded: [person("ada")].into(), ..ask(1) });
    let far = reviews.break_glass(id(1), &decision("far", 0, "approved"), &zone).map(drop);
    assert_eq!(far, Err(Refused::Barred(Barrier::Zone)));
    let nobody = reviews.break_glass(id(1), &decision("root", 0, "approved"), &zone).map(drop);
    assert_eq!(nobody, Err(Refused::Barred(Barrier::NotMember)));
    assert!(reviews.break_glass(id(1), &decision("ada", 0, "approved"), &zone).is_ok());
    assert!(reviews.is_empty());
}

#[test]
fn a_review_is_reassigned_to_those_who_may_decide_it_only() {
    let mut reviews = Reviews::default();
    let mut far = member("far");
    far.region = Some(region("us"));
    reviews.put_pool(Arc::new(pool("shared", vec![member("ada"), member("bob"), far])), &number);
    reviews.open(Ask { facts: 1, ..ask(1) });
    claimed(&mut reviews, "ada", 5);
    let far = reviews.reassign(Time(6), id(1), (&person("far"), 6), &zone);
    assert_eq!(far, Err(Refused::Barred(Barrier::Zone)));
    reviews.reassign(Time(6), id(1), (&person("bob"), 7), &zone).unwrap();
    let over = Refused::ClaimOver(Over::Reassigned);
    assert_eq!(refused(&mut reviews, &decision("ada", 5, "approved")), over);
    assert!(reviews.decide(Time(8), id(1), &decision("bob", 7, "approved"), &zone).is_ok());
}
