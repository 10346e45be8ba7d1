//! P15: what is to be erased is ended, does not begin again, and is said to be done once its rows are gone.

use expect_test::expect;

use super::desk::{Desk, ids, name, payload, step, tenant, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{Configure, Erase, ErasureDone, Input, Submit};
use crate::erasure::{Erased, ErasureRow, Subject};
use crate::id::{ErasureId, RunId};
use crate::reject::Rejection;
use crate::row::{Actor, Lane, RunKey, RunStatus};
use crate::tenant::Tenant;

const ADA: Option<Subject> = Some(Subject([1; 16]));
const BOB: Option<Subject> = Some(Subject([2; 16]));

fn desk() -> Desk {
    Desk::new(workflow("flow", vec![step("first", &[]), step("second", &[0])]))
}

impl Desk {
    fn erase(&mut self, tenant: &str, id: u128, of: Erased) -> Response {
        let erase = Erase { tenant: name(tenant), id: ErasureId(RunId(id)), of };
        self.ask(|reply| Input::Erase(reply, Some(Actor::Key(name("k1"))), erase))
    }

    fn submit_about(&mut self, tenant: &str, run: u128, subject: Option<Subject>) -> RunKey {
        let key = RunKey { tenant: name(tenant), run: RunId(run) };
        let response = self.ask(|reply| {
            Input::Submit(Box::new(Submit {
                trace: None,
                subject,
                reply,
                key: key.clone(),
                workflow: name("flow"),
                version: None,
                lane: Lane::Normal,
                requester: None,
                by: None,
                input: payload("{}"),
                idempotency: None,
            }))
        });
        assert!(matches!(response, Response::Submitted { existing: false, .. }), "{response:?}");
        key
    }

    fn status(&self, key: &RunKey) -> RunStatus {
        self.rows(key).0.status
    }

    /// The store has deleted the rows of these runs, and that was all.
    fn erased(&mut self, tenant: &str, id: u128, runs: &[&RunKey]) {
        let runs: Vec<RunKey> = runs.iter().map(|key| (*key).clone()).collect();
        let finished = vec![(name(tenant), ErasureId(RunId(id)), runs.len() as u64)];
        self.input(Input::Erased(ErasureDone { runs, finished, ..ErasureDone::default() }));
    }

    fn said_of_erasures(&self) -> String {
        let said = self.logged(|decision| decision.code.starts_with("eras"));
        said.iter()
            .map(|decision| format!("{} {:?} {}\n", decision.code, decision.by, decision.facts))
            .collect()
    }
}

#[test]
fn what_is_under_way_of_a_subject_is_ended_and_nothing_else() {
    let mut desk = desk();
    let runs = [
        desk.submit_about("a", 101, ADA),
        desk.submit_about("a", 102, BOB),
        desk.submit_about("a", 103, None),
        desk.submit_about("b", 104, ADA),
        desk.submit_about("a", 105, ADA),
    ];
    let response = desk.erase("a", 900, Erased::Subject(Subject([1; 16])));
    assert!(matches!(&response, Response::Erasure(row) if row.done.is_none()), "{response:?}");
    let states = runs.clone().map(|key| desk.status(&key));
    let (over, live) = (RunStatus::Cancelled, RunStatus::Running);
    assert_eq!(states, [over, live, live, live, over]);
    // What comes in later is not meant.
    desk.pass(crate::time::Span::from_secs(1));
    let later = desk.submit_about("a", 106, ADA);
    assert_eq!(desk.status(&later), live);

    desk.erased("a", 900, &[&runs[0], &runs[4]]);
    desk.erased("a", 900, &[]);
    expect![[r#"
        erasure-asked Some(Key("k1")) {"erasure":"00000000-0000-0000-0000-000000000384","subject":"01010101010101010101010101010101"}
        erased None {"erasure":"00000000-0000-0000-0000-000000000384","subject":"01010101010101010101010101010101","runs":2}
    "#]]
    .assert_eq(&desk.said_of_erasures());
}

#[test]
fn a_run_that_a_worker_has_ends_when_it_is_given_back() {
    let mut desk = desk();
    let run = desk.submit_about("a", 101, None);
    let grants = desk.lease("w");
    desk.erase("a", 900, Erased::Run(run.run));
    assert_eq!(desk.status(&run), RunStatus::Stopping);
    let told = desk.exchange("w", 0, Vec::new());
    assert_eq!(told.revoked, ids(&grants));
    desk.fail("w", &grants[0].lease, true);
    assert_eq!(desk.status(&run), RunStatus::Cancelled);
}

#[test]
fn rows_that_were_read_before_are_no_way_back() {
    let mut desk = desk();
    let run = desk.submit_about("a", 101, ADA);
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let rows = desk.rows(&run);
    assert_eq!(rows.0.status, RunStatus::Failed);
    desk.erase("a", 900, Erased::Subject(Subject([1; 16])));
    let refused =
        |response: &Response| matches!(response, Response::Rejected(Rejection::UnknownRun { .. }));
    assert!(refused(&desk.retry(&rows)));
    desk.erased("a", 900, &[&run]);
    assert!(refused(&desk.retry(&rows)), "whoever read them may ask still");
    let other = desk.submit_about("a", 102, BOB);
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let rows = desk.rows(&other);
    assert!(matches!(desk.retry(&rows), Response::Commanded { .. }));
}

#[test]
fn all_of_a_tenant_is_erased_when_it_is_suspended_and_its_attributes_go() {
    let mut desk = desk();
    let run = desk.submit_about("a", 101, None);
    let other = desk.submit_about("b", 102, None);
    let refused = desk.erase("a", 900, Erased::Tenant);
    assert!(matches!(refused, Response::Rejected(Rejection::NotSuspended { .. })), "{refused:?}");
    assert_eq!(desk.status(&run), RunStatus::Running);
    let suspended = Tenant {
        suspended: true,
        attributes: r#"{"contact":"Ada"}"#.into(),
        ..tenant("a", "small")
    };
    desk.declare(Configure::Tenant(suspended));
    let asked = desk.erase("a", 900, Erased::Tenant);
    assert!(matches!(asked, Response::Erasure(_)), "{asked:?}");
    assert_eq!(desk.status(&run), RunStatus::Cancelled);
    assert_eq!(desk.status(&other), RunStatus::Running);
    let declared = desk.disk().snapshot().tenants;
    let declared = declared.iter().find(|tenant| tenant.id == run.tenant).unwrap();
    assert_eq!((&*declared.attributes, declared.suspended), ("{}", true));
}

#[test]
fn one_that_is_not_done_is_known_to_the_next_owner() {
    let mut desk = desk();
    let run = desk.submit_about("a", 101, ADA);
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let rows = desk.rows(&run);
    desk.erase("a", 900, Erased::Run(run.run));
    desk.restart();
    assert!(matches!(desk.retry(&rows), Response::Rejected(Rejection::UnknownRun { .. })));
    desk.erased("a", 900, &[&run]);
    assert!(desk.said_of_erasures().contains("erased None"));
    let unknown = desk.erase("nobody", 901, Erased::Tenant);
    assert!(matches!(unknown, Response::Rejected(Rejection::UnknownTenant { .. })), "{unknown:?}");
}

#[test]
fn a_subject_as_text_is_its_digits() {
    let subject = Subject(std::array::from_fn(|at| u8::try_from(at * 16).unwrap()));
    let text = serde_json::to_string(&subject).unwrap();
    assert_eq!(text, "\"00102030405060708090a0b0c0d0e0f0\"");
    assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), subject);
    for wrong in ["\"00\"", "\"+0102030405060708090a0b0c0d0e0f0\"", "7"] {
        assert!(serde_json::from_str::<Subject>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_an_erasure_covers() {
    let row = |of| ErasureRow {
        tenant: name("a"),
        id: ErasureId(RunId(1)),
        of,
        asked: crate::time::Time(100),
        by: None,
        runs: 0,
        done: None,
    };
    let key = |tenant: &str, run: u128| RunKey { tenant: name(tenant), run: RunId(run) };
    let at = crate::time::Time;
    for of in [Erased::Run(RunId(7)), Erased::Subject(Subject([1; 16])), Erased::Tenant] {
        assert!(row(of).covers(&key("a", 7), ADA, at(100)), "{of:?}");
        assert!(!row(of).covers(&key("b", 7), ADA, at(100)), "{of:?}");
        assert!(!row(of).covers(&key("a", 7), ADA, at(101)), "{of:?}");
        assert_eq!(row(of).covers(&key("a", 8), BOB, at(1)), of == Erased::Tenant);
    }
}
