//! Steps that people do, and what the platform asks people.

use std::sync::Arc;

use super::desk::{Desk, ids, name, payload, step, tasks, workflow};
use crate::cell::effect::{Effect, Response, ReviewView};
use crate::cell::input::{
    BreakGlass, Command, Configure, Decide, Handler, Input, QUERY_ROWS_MAX, Query, Retry,
    ReviewCommand, ReviewsOf, Submit, Value,
};
use crate::id::{PersonId, ReviewId, RunId};
use crate::money::Nano;
use crate::plan::{Step, StepKind};
use crate::quota::{Budget, BudgetClass, Rung};
use crate::reject::Rejection;
use crate::residency::{Country, Declaration, Region, Residency};
use crate::review::{Barrier, Escalation, Member, Over, Overdue, Refused, ReviewerPool, Terms};
use crate::row::{Actor, Lane, ReviewCause, ReviewState, RunKey, RunStatus, StepState};
use crate::time::Span;

pub(super) fn pool(text: &str, people: &[&str]) -> ReviewerPool {
    let member = |text: &&str| Member {
        person: name(text),
        skills: [].into(),
        certifications: [].into(),
        region: None,
        tenants: None,
    };
    ReviewerPool {
        name: name(text),
        tenant: None,
        lease: Span::from_secs(60),
        class_bound: 9,
        pick: true,
        members: people.iter().map(member).collect(),
    }
}

pub(super) fn terms() -> Terms {
    Terms { pool: Some(name("people")), due: Span::from_secs(3_600), ..Terms::default() }
}

pub(super) fn review(text: &str, after: &[u16], terms: Terms) -> Step {
    Step { kind: StepKind::Review(Arc::new(terms)), ..step(text, after) }
}

/// `credit`, then the review `manual`, then `last`.
fn reviewed(terms: Terms) -> Desk {
    let mut desk = Desk::new(workflow("plain", vec![step("only", &[])]));
    desk.declare(Configure::ReviewerPool(pool("people", &["ada", "bob"])));
    desk.declare(Configure::ReviewerPool(pool("seniors", &["eve"])));
    let steps = vec![step("credit", &[]), review("manual", &[0], terms), step("last", &[1])];
    desk.declare(Configure::Workflow(Arc::new(workflow("flow", steps))));
    desk
}

/// A run whose review is open.
pub(super) fn waiting(terms: Terms) -> (Desk, RunKey) {
    let mut desk = reviewed(terms);
    let run = desk.submit("b", "flow");
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(Value::Digest([7; 32])));
    (desk, run)
}

impl Desk {
    fn review(&mut self, command: ReviewCommand) -> Response {
        self.ask(|reply| Input::Review(reply, command))
    }

    pub(super) fn next_review(&mut self, person: &str) -> Option<(Box<ReviewView>, u64)> {
        match self.review(ReviewCommand::Next { person: name(person), pool: None }) {
            Response::Claimed(view) => {
                let fence = view.standing.claim.as_ref().unwrap().fence;
                Some((view, fence))
            }
            Response::NothingToReview => None,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn decide(&mut self, decide: Decide) -> Result<u32, Rejection> {
        match self.review(ReviewCommand::Decide(vec![decide])) {
            Response::Decided(mut answers) => answers.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn open_reviews(&mut self) -> Vec<ReviewView> {
        let query = Query::Reviews { of: ReviewsOf::All, after: None, limit: 100 };
        match self.ask(|reply| Input::Query(reply, query)) {
            Response::Reviews(views) => views,
            other => panic!("{other:?}"),
        }
    }

    fn review_states(&self) -> Vec<ReviewState> {
        self.disk().reviews().map(|row| row.state.clone()).collect()
    }
}

pub(super) fn decide(review: ReviewId, person: &str, fence: u64, outcome: &str) -> Decide {
    Decide {
        review,
        person: name(person),
        fence,
        digest: [7; 32],
        outcome: name(outcome),
        data: r#"{"limit":5}"#.into(),
        result: [8; 32],
    }
}

fn refused(result: Result<u32, Rejection>) -> Refused {
    match result {
        Err(Rejection::Review { refused, .. }) => refused,
        other => panic!("{other:?}"),
    }
}

fn output(desk: &Desk, run: &RunKey, step: usize) -> String {
    let output = desk.rows(run).1[step].output.clone().unwrap();
    String::from_utf8(output.to_vec()).unwrap()
}

#[test]
fn a_review_holds_nothing_and_its_decision_is_the_output_of_its_step() {
    let (mut desk, run) = waiting(terms());
    assert_eq!((desk.in_flight(), desk.lease("w").len()), (0, 0));
    let (view, fence) = desk.next_review("ada").unwrap();
    assert_eq!((view.key.clone(), view.subject), (run.clone(), [7; 32]));
    assert!(desk.next_review("bob").is_none());
    assert_eq!(desk.decide(decide(view.id, "ada", fence, "approved")), Ok(0));
    let text = output(&desk, &run, 1);
    let expected = format!(
        r#"{{"outcome":"approved","data":{{"limit":5}},"by":["ada"],"at":"1970-01-01T00:16:40Z","review":"{}"}}"#,
        view.id
    );
    assert_eq!(text, expected);
    assert_eq!(tasks(&desk.lease("w")), "last");
    let again = desk.decide(decide(view.id, "ada", fence, "approved"));
    assert_eq!(again, Err(Rejection::UnknownReview { review: view.id }));
    assert!(desk.decisions().contains(&"review-decided".to_owned()));
    assert_eq!(desk.review_states(), [ReviewState::Decided { outcome: name("approved") }]);
}

#[test]
fn the_step_after_a_review_passes_the_budget_gate_again() {
    let (mut desk, run) = waiting(terms());
    desk.command(&run, Command::Budget { limit: Nano(0) });
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.decide(decide(view.id, "ada", fence, "approved")).unwrap();
    assert_eq!(tasks(&desk.lease("w")), "last", "it costs nothing");
}

#[test]
fn who_submitted_a_run_does_not_decide_of_it() {
    let mut desk = reviewed(terms());
    let key = RunKey { tenant: name("b"), run: RunId(77) };
    desk.ask(|reply| {
        Input::Submit(Box::new(Submit {
            trace: None,
            subject: None,
            reply,
            key: key.clone(),
            workflow: name("flow"),
            version: None,
            lane: Lane::Normal,
            requester: Some(name("ada")),
            by: None,
            input: payload("{}"),
            idempotency: None,
        }))
    });
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.restart();
    desk.evaluate(Ok(Value::Digest([7; 32])));
    assert!(desk.next_review("ada").is_none());
    let review = desk.open_reviews()[0].id;
    let claim = desk.review(ReviewCommand::Claim { review, person: name("ada") });
    let Response::Rejected(Rejection::Review { refused, .. }) = claim else { panic!("{claim:?}") };
    assert_eq!(refused, Refused::Barred(Barrier::Excluded));
    assert!(desk.next_review("bob").is_some());
}

#[test]
fn nobody_who_is_no_member_learns_that_a_review_is_there() {
    let (mut desk, _) = waiting(terms());
    let review = desk.open_reviews()[0].id;
    let eve: PersonId = name("eve");
    let by = Handler::Person { person: eve.clone(), fence: None };
    let commands = [
        ReviewCommand::Claim { review, person: eve.clone() },
        ReviewCommand::Release { review, person: eve.clone(), fence: 1 },
        ReviewCommand::Comment { review, by: by.clone(), text: "hello".into() },
        ReviewCommand::Escalate { review, by: by.clone() },
        ReviewCommand::Reassign { review, to: name("ada"), by },
        ReviewCommand::Escalate {
            review,
            by: Handler::Owner { by: Actor::Key(name("k")), tenant: Some(name("a")) },
        },
    ];
    for command in commands {
        let response = desk.review(command.clone());
        let is_hidden = matches!(response, Response::Rejected(Rejection::UnknownReview { .. }));
        assert!(is_hidden, "{command:?}: {response:?}");
    }
    let unseen = desk.decide(decide(review, "eve", 1, "approved"));
    assert_eq!(unseen, Err(Rejection::UnknownReview { review }));
    let query = Query::Review { review, person: Some(eve) };
    let seen = desk.ask(|reply| Input::Query(reply, query));
    assert!(matches!(seen, Response::Rejected(Rejection::UnknownReview { .. })));
}

#[test]
fn a_claim_ends_with_its_lease_and_the_review_is_open_again() {
    let (mut desk, _) = waiting(terms());
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.pass(Span::from_secs(61));
    assert_eq!(desk.review_states(), [ReviewState::Open]);
    let late = desk.decide(decide(view.id, "ada", fence, "approved"));
    assert_eq!(refused(late), Refused::ClaimOver(Over::Expired));
    assert!(desk.next_review("bob").is_some());
}

#[test]
fn a_kill_leaves_claims_with_their_fence_and_decisions_with_their_votes() {
    let (mut desk, run) = waiting(Terms { persons: 2, ..terms() });
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.restart();
    assert_eq!(desk.decide(decide(view.id, "ada", fence, "approved")), Ok(1));
    desk.restart();
    assert!(desk.next_review("ada").is_none());
    let (again, fence) = desk.next_review("bob").unwrap();
    assert_eq!((again.id, again.digest, again.votes.len()), (view.id, [8; 32], 1));
    desk.restart();
    let agrees = Decide { digest: [8; 32], ..decide(view.id, "bob", fence, "approved") };
    assert_eq!(desk.decide(agrees), Ok(0));
    assert!(output(&desk, &run, 1).contains(r#""by":["ada","bob"]"#));
}

#[test]
fn a_claim_that_outlived_its_owner_still_ends() {
    let (mut desk, _) = waiting(terms());
    let _ = desk.next_review("ada").unwrap();
    desk.restart();
    desk.pass(Span::from_secs(61));
    assert_eq!(desk.review_states(), [ReviewState::Open]);
}

#[test]
fn a_review_that_nobody_decides_goes_up_its_ladder_and_fails_its_step() {
    let rung = |pool: Option<&str>, class| Escalation {
        pool: pool.map(name),
        class,
        notify: true,
        within: Span::from_secs(60),
    };
    let escalate = vec![rung(None, Some(0)), rung(Some("seniors"), None)];
    let (mut desk, run) = waiting(Terms { escalate, ..terms() });
    desk.pass(Span::from_secs(3_600));
    assert_eq!(desk.open_reviews()[0].standing.class, 0);
    desk.restart();
    desk.pass(Span::from_secs(60));
    assert_eq!(desk.open_reviews()[0].standing.pool, name("seniors"));
    assert_eq!(desk.decided("review-escalated").len(), 2);
    desk.restart();
    desk.pass(Span::from_secs(60));
    let (row, steps) = desk.rows(&run);
    assert_eq!(row.status, RunStatus::Failed);
    assert_eq!(&*row.failure.unwrap().class, "review-overdue");
    assert!(matches!(steps[1].state, StepState::Failed { .. }));
    assert_eq!(desk.review_states(), [ReviewState::Overdue]);
}

#[test]
fn a_review_that_nobody_decides_ends_with_the_outcome_that_was_declared() {
    let on_overdue = Overdue::Outcome(name("rejected"));
    let (mut desk, run) = waiting(Terms { on_overdue, ..terms() });
    desk.pass(Span::from_secs(3_600));
    assert!(output(&desk, &run, 1).starts_with(r#"{"outcome":"rejected","data":null,"by":[]"#));
    assert_eq!(tasks(&desk.lease("w")), "last");
}

#[test]
fn a_workflow_whose_review_approves_itself_or_names_no_pool_is_refused() {
    let mut desk = reviewed(terms());
    let mut declare = |terms| {
        let steps = vec![review("manual", &[], terms)];
        let workflow = Arc::new(workflow("bad", steps));
        desk.ask(|reply| Input::Configure(reply, None, Configure::Workflow(workflow)))
    };
    let on_overdue = Overdue::Outcome(name("approved"));
    let response = declare(Terms { on_overdue, ..terms() });
    let is_refused = matches!(response, Response::Rejected(Rejection::ApprovesItself { .. }));
    assert!(is_refused, "{response:?}");
    let response = declare(Terms { pool: Some(name("nowhere")), ..terms() });
    let is_unknown = matches!(response, Response::Rejected(Rejection::UnknownReviewerPool { .. }));
    assert!(is_unknown, "{response:?}");
}

#[test]
fn without_a_pool_a_review_fails_and_with_the_tenants_own_it_waits_there() {
    let mut desk = reviewed(Terms { pool: None, ..terms() });
    let begin = |desk: &mut Desk| {
        let run = desk.submit("b", "flow");
        let grants = desk.lease("w");
        desk.complete("w", &ids(&grants));
        desk.evaluate(Ok(Value::Digest([7; 32])));
        run
    };
    let run = begin(&mut desk);
    assert_eq!(&*desk.rows(&run).0.failure.unwrap().class, "no-reviewers");
    let mut own = super::desk::tenant("b", "large");
    own.reviewer_pool = Some(name("seniors"));
    desk.declare(Configure::Tenant(own));
    begin(&mut desk);
    assert_eq!(desk.open_reviews()[0].standing.pool, name("seniors"));
}

#[test]
fn cancelling_a_run_cancels_its_reviews_and_retrying_it_supersedes_them() {
    let (mut desk, run) = waiting(terms());
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.command(&run, Command::Cancel);
    assert_eq!(desk.review_states(), [ReviewState::Cancelled]);
    let late = desk.decide(decide(view.id, "ada", fence, "approved"));
    assert_eq!(late, Err(Rejection::UnknownReview { review: view.id }));

    let (mut desk, run) = waiting(terms());
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.decide(decide(view.id, "ada", fence, "approved")).unwrap();
    desk.command(&run, Command::Cancel);
    let (row, steps) = desk.rows(&run);
    let rows = Some(desk.disk().ended(row, steps));
    let (key, from) = (run.clone(), Some(name("credit")));
    let retried =
        desk.ask(|reply| Input::Retry(Box::new(Retry { reply, by: None, key, from, rows })));
    assert!(matches!(retried, Response::Commanded { .. }), "{retried:?}");
    assert_eq!(desk.review_states(), [ReviewState::Superseded]);
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(Value::Digest([9; 32])));
    let (again, fence) = desk.next_review("ada").unwrap();
    assert_ne!(again.id, view.id);
    let stale = desk.decide(decide(again.id, "ada", fence, "approved"));
    assert_eq!(refused(stale), Refused::WrongDigest);
}

#[test]
fn a_query_gives_a_full_page_and_shows_that_there_is_more() {
    let mut desk = reviewed(terms());
    let names: Vec<String> = (0..50).map(|number| format!("manual_{number}")).collect();
    let steps = names.iter().map(|name| review(name, &[], terms())).collect();
    desk.declare(Configure::Workflow(Arc::new(workflow("asks", steps))));
    for _ in 0..=QUERY_ROWS_MAX / 50 {
        desk.submit("b", "asks");
        for _ in &names {
            desk.evaluate(Ok(Value::Digest([7; 32])));
        }
    }
    let query = Query::Reviews { of: ReviewsOf::All, after: None, limit: QUERY_ROWS_MAX };
    let Response::Reviews(views) = desk.ask(|reply| Input::Query(reply, query)) else {
        panic!("a list of reviews")
    };
    assert_eq!(views.len(), 1_001, "a page of 1,000, and one more");
}

#[test]
fn decisions_of_a_batch_are_done_or_refused_each_by_itself() {
    let (mut desk, _) = waiting(terms());
    let second = desk.submit("a", "flow");
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(Value::Digest([9; 32])));
    let (one, first) = desk.next_review("ada").unwrap();
    let (two, other) = desk.next_review("ada").unwrap();
    let batch = vec![
        decide(one.id, "ada", first, "approved"),
        decide(two.id, "ada", other, "approved"),
        decide(one.id, "ada", first, "approved"),
    ];
    let Response::Decided(answers) = desk.review(ReviewCommand::Decide(batch)) else {
        panic!("a batch is answered");
    };
    assert_eq!(answers[0], Ok(0));
    assert_eq!(refused(answers[1].clone()), Refused::WrongDigest);
    assert_eq!(answers[2], Err(Rejection::UnknownReview { review: one.id }));
    assert_eq!(desk.rows(&second).0.status, RunStatus::Running);
}

#[test]
fn an_operator_who_breaks_the_glass_is_in_the_log() {
    let (mut desk, run) = waiting(Terms { persons: 2, ..terms() });
    let review = desk.open_reviews()[0].id;
    let glass = |person: &str| {
        ReviewCommand::BreakGlass(Box::new(BreakGlass {
            decide: decide(review, person, 0, "approved"),
            by: Actor::Key(name("k1")),
            reason: "the others are ill".into(),
        }))
    };
    let response = desk.review(glass("root"));
    assert!(matches!(response, Response::Rejected(Rejection::Review { .. })), "{response:?}");
    let response = desk.review(glass("ada"));
    assert!(matches!(response, Response::Reviewed), "{response:?}");
    let facts = &desk.decided("review-glass-broken")[0].facts;
    let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
    assert_eq!(facts["person"], "ada");
    assert!(output(&desk, &run, 1).contains(r#""by":["ada"]"#));
}

#[test]
fn an_explanation_says_where_the_review_stands_and_why_nobody_can_take_it() {
    let (mut desk, run) = waiting(terms());
    assert!(desk.explain(&run).contains("able: 2"), "{}", desk.explain(&run));
    desk.declare(Configure::ReviewerPool(pool("people", &[])));
    let text = desk.explain(&run);
    assert!(text.contains("Reviewing") && text.contains("able: 0"), "{text}");
}

/// A run of `dear`, which it cannot pay for, whose ladder asks a person.
fn short(reviewers: bool) -> (Desk, RunKey) {
    let dear = Step { cost_nano: Nano::from_cents(10).0, ..step("dear", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![dear, step("last", &[0])]));
    let budget = Budget { short: vec![Rung::Escalate], ..Budget::default() };
    let class = BudgetClass { name: name("tight"), quotas: [].into(), budget };
    desk.declare(Configure::Class(class));
    desk.declare(Configure::ReviewerPool(pool("people", &["ada"])));
    let mut tenant = super::desk::tenant("b", "large");
    tenant.budget_class = Some(name("tight"));
    tenant.reviewer_pool = reviewers.then(|| name("people"));
    desk.declare(Configure::Tenant(tenant));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: Nano::from_cents(5) });
    assert_eq!(desk.lease("w").len(), 0);
    (desk, run)
}

#[test]
fn a_step_that_cannot_be_paid_for_is_escalated_to_the_tenants_reviewers() {
    let (mut desk, _) = short(false);
    assert!(desk.open_reviews().is_empty());

    for (outcome, then) in [("resolved", "last"), ("cheaper", ""), ("failed", "")] {
        let (mut desk, run) = short(true);
        desk.restart();
        let (view, fence) = desk.next_review("ada").unwrap();
        let cents = Nano::from_cents;
        assert_eq!(view.cause, ReviewCause::Money { need: cents(10), left: cents(5) });
        let given = Decide { digest: view.digest, ..decide(view.id, "ada", fence, outcome) };
        assert_eq!(desk.decide(given), Ok(0));
        assert_eq!(tasks(&desk.lease("w")), then, "{outcome}");
        let (row, _) = desk.rows(&run);
        // A cheaper model does not help a task: people are asked again.
        let open = usize::from(outcome == "cheaper");
        assert_eq!(desk.open_reviews().len(), open, "{outcome}");
        assert_eq!(row.status == RunStatus::Failed, outcome == "failed");
    }
}

#[test]
fn money_that_comes_in_settles_the_review() {
    let (mut desk, run) = short(true);
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.command(&run, Command::Budget { limit: Nano::from_cents(50) });
    assert_eq!(desk.review_states(), [ReviewState::Superseded]);
    let late =
        desk.decide(Decide { digest: view.digest, ..decide(view.id, "ada", fence, "failed") });
    assert_eq!(late, Err(Rejection::UnknownReview { review: view.id }));
    assert_eq!(tasks(&desk.lease("w")), "dear");
    let is_halted = |effect: &Effect| matches!(effect, Effect::Evaluate(_));
    assert!(!desk.released.iter().any(is_halted));
}

#[test]
fn a_shortage_that_nobody_decides_leaves_the_run_as_it_was() {
    let (mut desk, run) = short(true);
    desk.pass(Terms::DUE_DEFAULT);
    assert_eq!(desk.review_states(), [ReviewState::Overdue]);
    let (row, _) = desk.rows(&run);
    assert_eq!((row.status, row.money.halt.unwrap().review), (RunStatus::Paused, None));
}

#[test]
fn a_person_outside_of_the_zone_decides_nothing_and_one_without_a_region_neither() {
    let region = |name_of: &str, code: &str| {
        let country = Country::parse(code).unwrap();
        Configure::Residency(Declaration::Region(Region {
            name: name(name_of),
            country,
            label: None,
        }))
    };
    let mut desk = reviewed(terms());
    desk.declare(region("dublin", "IE"));
    desk.declare(region("ohio", "US"));
    let staff = |at: [Option<&str>; 3]| {
        let mut pool = pool("people", &["ada", "bob", "cleo"]);
        for (member, at) in pool.members.iter_mut().zip(at) {
            member.region = at.map(name);
        }
        Configure::ReviewerPool(pool)
    };
    desk.declare(staff([Some("dublin"), Some("ohio"), None]));
    let run = desk.submit("b", "flow");
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(Value::Digest([7; 32])));
    let (view, fence) = desk.next_review("bob").unwrap();
    // The tenant's data may be in the EU only from now on: what is claimed and what waits follow.
    let mut tenant = super::desk::tenant("b", "large");
    let zone = Some(Residency { zone: Some(name("eu")), ..Residency::default() });
    tenant.rules.data_residency = zone;
    let declared =
        desk.ask(|reply| Input::Configure(reply, None, Configure::Tenant(tenant.clone())));
    if matches!(declared, Response::Rejected(Rejection::StoreOutside { .. })) {
        // A cell that is nowhere holds no such tenant: it says where it is first.
        panic!("{declared:?}");
    }
    let stale = desk.decide(decide(view.id, "bob", fence, "approved"));
    assert_eq!(refused(stale), Refused::Barred(Barrier::Zone));
    desk.pass(Span::from_secs(61));
    assert!(desk.next_review("bob").is_none());
    assert!(desk.next_review("cleo").is_none());
    desk.restart();
    assert!(desk.next_review("bob").is_none());
    let text = desk.explain(&run);
    assert!(text.contains("able: 1") && text.contains("(Zone, 2)"), "{text}");
    let (again, fence) = desk.next_review("ada").unwrap();
    // She leaves for Ohio: what she has claimed is not hers to decide from there.
    desk.declare(staff([Some("ohio"), None, None]));
    let abroad = desk.decide(decide(again.id, "ada", fence, "approved"));
    assert_eq!(refused(abroad), Refused::Barred(Barrier::Zone));
    desk.declare(staff([Some("dublin"), None, None]));
    assert_eq!(desk.decide(decide(again.id, "ada", fence, "approved")), Ok(0));
}

#[test]
fn a_pool_whose_member_works_where_nobody_knows_is_refused() {
    let mut desk = reviewed(terms());
    let mut lost = pool("people", &["ada"]);
    lost.members[0].region = Some(name("mars-1"));
    let said = desk.ask(|reply| Input::Configure(reply, None, Configure::ReviewerPool(lost)));
    let Response::Rejected(Rejection::UnknownRegion { field, region }) = said else {
        panic!("{said:?}")
    };
    assert_eq!((field, region), ("/members", name("mars-1")));
}
