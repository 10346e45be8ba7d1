//! What policies say of people who decide: it holds wherever a person would get a review, and again at the decision.

use super::desk::{Desk, ids, name, tenant};
use super::reviews::{decide, pool, terms, waiting};
use crate::cell::effect::Response;
use crate::cell::input::{Configure, Handler, Input, Query, ReviewCommand, ReviewsOf, Value};
use crate::policy::Source;
use crate::reject::Rejection;
use crate::review::{Barrier, Refused};
use crate::row::Actor;
use crate::tenant::Tenant;

const NOT_ADA: &str = r#"forbid (principal == Key::"ada", action == Action::"decide_review",
                                 resource) when { resource.pool == "people" };"#;

fn policy(id: &str, text: &str) -> Configure {
    Configure::Policy(Source { name: name(id), text: text.into() })
}

fn barred(policy: &str) -> Refused {
    Refused::Barred(Barrier::Policy(policy.into()))
}

fn refused(response: &Response) -> Refused {
    match response {
        Response::Rejected(Rejection::Review { refused, .. }) => refused.clone(),
        other => panic!("{other:?}"),
    }
}

fn listed(desk: &mut Desk, person: &str) -> usize {
    let of = ReviewsOf::Open(name(person));
    match desk.ask(|reply| Input::Query(reply, Query::Reviews { of, after: None, limit: 100 })) {
        Response::Reviews(views) => views.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_may_not_decide_by_policy_is_given_nothing() {
    let (mut desk, run) = waiting(terms());
    let review = desk.next_review("bob").unwrap().0.id;
    desk.pass(crate::time::Span::from_secs(61));
    assert_eq!(listed(&mut desk, "ada"), 1);
    desk.declare(policy("not-ada", NOT_ADA));
    assert!(desk.next_review("ada").is_none());
    assert_eq!(listed(&mut desk, "ada"), 0);
    let claim = ReviewCommand::Claim { review, person: name("ada") };
    assert_eq!(refused(&desk.ask(|reply| Input::Review(reply, claim))), barred("not-ada"));
    let by = Handler::Owner { by: Actor::Key(name("k")), tenant: None };
    let given = ReviewCommand::Reassign { review, to: name("ada"), by };
    assert_eq!(refused(&desk.ask(|reply| Input::Review(reply, given))), barred("not-ada"));
    let text = desk.explain(&run);
    assert!(text.contains(r#"able: 1, barred: [(Policy("not-ada"), 1)]"#), "{text}");
    assert!(desk.next_review("bob").is_some());
}

#[test]
fn a_policy_that_comes_after_the_claim_holds_at_the_decision() {
    let (mut desk, _) = waiting(terms());
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.declare(policy("not-ada", NOT_ADA));
    let given = decide(view.id, "ada", fence, "approved");
    let no = desk.decide(given.clone());
    assert_eq!(no, Err(Rejection::Review { review: view.id, refused: barred("not-ada") }),);
    desk.declare(Configure::DropPolicy(name("not-ada")));
    assert_eq!(desk.decide(given), Ok(0));
}

#[test]
fn the_context_of_the_tenant_as_it_is_now_counts() {
    let (mut desk, _) = waiting(terms());
    desk.declare(policy(
        "no-people",
        r#"forbid (principal is Key, action == Action::"claim_review", resource)
           when { resource.tenant.hasTag("people") && resource.tenant.getTag("people") == "no" };"#,
    ));
    let says = |people: &str| {
        let attributes = format!(r#"{{"people": "{people}"}}"#);
        Configure::Tenant(Tenant { attributes: attributes.as_str().into(), ..tenant("b", "large") })
    };
    desk.declare(says("no"));
    assert!(desk.next_review("ada").is_none());
    desk.declare(says("yes"));
    assert!(desk.next_review("ada").is_some());
}

#[test]
fn the_next_of_many_reviews_costs_an_evaluation_for_each_tenant_and_person_once() {
    let (mut desk, _) = waiting(terms());
    for _ in 0..50 {
        let _ = desk.submit("b", "flow");
        let grants = desk.lease("w");
        desk.complete("w", &ids(&grants));
        desk.evaluate(Ok(Value::Digest([7; 32])));
    }
    desk.declare(policy("not-ada", NOT_ADA));
    assert_eq!(listed(&mut desk, "ada"), 0);
    assert_eq!(listed(&mut desk, "bob"), 51);
    for _ in 0..20 {
        assert!(desk.next_review("ada").is_none());
        assert!(desk.next_review("bob").is_some());
    }
    assert_eq!(desk.driver.cell().review_evaluations(), 2);
    // Another person is another question.
    desk.declare(Configure::ReviewerPool(pool("people", &["ada", "bob", "cleo"])));
    assert!(desk.next_review("cleo").is_some());
    assert_eq!(desk.driver.cell().review_evaluations(), 3);
}
