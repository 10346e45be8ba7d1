//! Plans that are looked at again while their run is under way.

mod stopping;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::desk::{Desk, completed, ids, name, payload, step, tasks, tenant, workflow};
use super::reviews::{decide, pool};
use crate::cell::effect::Grant;
use crate::cell::input::{Command, Configure, Judged, Outcome, Value};
use crate::money::Nano;
use crate::plan::{Step, StepIndex, Workflow};
use crate::quota::{Budget, BudgetClass};
use crate::replan::{
    Confidence, Parts, REPLANS_DEFAULT, Replanning, Revision, Scope, Trigger, Trust, Unfit, Verdict,
};
use crate::review::Terms;
use crate::row::{Failure, ReviewCause, ReviewState, RunKey, RunStatus, StepState};
use crate::tenant::{Rules, Tenant};
use crate::time::Span;

const VERIFY: u16 = 0;
const CREDIT: u16 = 1;
const COMPLY: u16 = 2;
const DECIDE: u16 = 3;

fn planner() -> Step {
    step("plan", &[])
}

fn loan_steps() -> Vec<Step> {
    vec![step("verify", &[]), step("credit", &[0]), step("comply", &[1]), step("decide", &[2])]
}

fn replanning(steps: &[Step]) -> Replanning {
    let mut parts = Parts::default();
    for step in steps {
        parts.add(step);
    }
    parts.tasks.insert((name("default"), name("bank")));
    parts.tasks.insert((name("default"), name("ask")));
    Replanning {
        on: Trigger::ALL.into(),
        planner: planner(),
        scope: Scope::Downstream,
        max: REPLANS_DEFAULT,
        parts,
        approval: None,
    }
}

fn loan_with(steps: Vec<Step>, change: impl FnOnce(&mut Replanning)) -> Workflow {
    let mut declared = replanning(&steps);
    change(&mut declared);
    Workflow { replan: Some(Arc::new(declared)), ..workflow("loan", steps) }
}

fn desk_with(change: impl FnOnce(&mut Replanning)) -> Desk {
    Desk::new(loan_with(loan_steps(), change))
}

/// What the surroundings make of a planner's answer.
fn revision(plan: &Arc<Workflow>, change: impl FnOnce(&mut Revision, &mut Workflow)) -> Revision {
    let mut revision = Revision {
        plan: plan.clone(),
        reason: "as the planner says".into(),
        added: BTreeSet::new(),
        changed: BTreeSet::new(),
        dropped: BTreeSet::new(),
        redo: BTreeSet::new(),
        distrust: BTreeSet::new(),
        digest: [7; 32],
    };
    let mut plan = (**plan).clone();
    change(&mut revision, &mut plan);
    plan.revised.dropped.extend(&revision.dropped);
    revision.plan = Arc::new(plan);
    revision
}

fn add(revision: &mut Revision, plan: &mut Workflow, new: Step) -> StepIndex {
    let at = StepIndex(u16::try_from(plan.steps.len()).unwrap());
    plan.steps.push(new);
    revision.added.insert(at);
    at
}

/// `bank` stands in for `credit`, and `comply` comes after it.
fn by_the_bank(revision: &mut Revision, plan: &mut Workflow) {
    let bank = add(revision, plan, step("bank", &[VERIFY]));
    revision.dropped.insert(StepIndex(CREDIT));
    plan.steps[usize::from(COMPLY)].after = vec![bank];
    revision.changed.insert(StepIndex(COMPLY));
}

fn redo(steps: &[u16]) -> impl FnOnce(&mut Revision, &mut Workflow) {
    let steps: Vec<StepIndex> = steps.iter().copied().map(StepIndex).collect();
    move |revision, _| revision.redo.extend(steps)
}

impl Desk {
    /// The worker does all that it can get, and says which tasks these were.
    fn work(&mut self) -> String {
        let grants = self.lease("w");
        self.complete("w", &ids(&grants));
        tasks(&grants)
    }

    /// The only step that can be leased fails for good.
    fn break_step(&mut self) -> String {
        let grants = self.lease("w");
        self.fail("w", &grants[0].lease, false);
        tasks(&grants)
    }

    fn plan(&self, run: &RunKey) -> Arc<Workflow> {
        self.disk().replans_of(run).last().expect("a planner was asked").plan.clone()
    }

    /// The planner answers, and its answer is read.
    fn plans(&mut self, run: &RunKey, change: impl FnOnce(&mut Revision, &mut Workflow)) {
        assert_eq!(self.work(), "plan");
        self.reads(run, change);
    }

    fn reads(&mut self, run: &RunKey, change: impl FnOnce(&mut Revision, &mut Workflow)) {
        let revision = revision(&self.plan(run), change);
        self.evaluate(Ok(Value::Revision(Box::new(revision))));
    }

    fn verdicts(&self, run: &RunKey) -> Vec<Option<Verdict>> {
        self.disk().replans_of(run).map(|row| row.verdict.clone()).collect()
    }

    fn last_refusal(&self, run: &RunKey) -> Unfit {
        let of = |verdict| match verdict {
            Some(Verdict::Refused(unfit)) => Some(unfit),
            _ => None,
        };
        self.verdicts(run).into_iter().rev().find_map(of).expect("a revision was refused")
    }

    fn run_status(&self, run: &RunKey) -> RunStatus {
        self.disk().runs[run].status
    }

    fn trust(&self, run: &RunKey, at: u16) -> Trust {
        let steps = self.disk().steps_of(run);
        let row = steps.iter().find(|row| row.instance.step == StepIndex(at));
        row.expect("the step has a row").trust
    }

    fn says(&mut self, grant: &Grant, outcome: &Outcome) {
        let receipt = self.report("w", std::slice::from_ref(&grant.lease), outcome);
        assert_eq!(receipt, "Recorded");
    }
}

/// A run whose `credit` has failed, and whose planner waits for a worker.
fn disputed(desk: &mut Desk) -> RunKey {
    let run = desk.submit("b", "loan");
    assert_eq!(desk.work(), "verify");
    assert_eq!(desk.break_step(), "credit");
    run
}

#[test]
fn a_planner_finds_another_way_and_what_is_done_stays_done() {
    let mut desk = desk_with(|_| {});
    let run = disputed(&mut desk);
    let waits = desk.explain(&run);
    assert!(waits.contains("credit: Disputed Replan { trigger: Failed"), "{waits}");
    assert!(waits.contains("comply: Pending Steps"), "{waits}");
    desk.plans(&run, by_the_bank);
    assert_eq!(desk.work(), "bank");
    assert_eq!(desk.work(), "comply");
    assert_eq!(desk.work(), "decide");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
    assert_eq!(desk.verdicts(&run), [Some(Verdict::Accepted)]);
    let disk = desk.disk();
    let row = disk.replans_of(&run).next().unwrap();
    let names = |names: &[crate::id::StepName]| -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&row.diff.added), ["bank"]);
    assert_eq!(names(&row.diff.dropped), ["credit"]);
    assert_eq!(names(&row.diff.changed), ["comply"]);
    assert_eq!(names(&row.diff.kept), ["verify"]);
    assert_eq!(desk.disk().runs[&run].replans, 1);
    let failed = |row: &crate::row::StepRow| matches!(row.state, StepState::Failed { .. });
    let steps = desk.disk().steps_of(&run);
    let of: Vec<u16> =
        steps.iter().filter(|row| failed(row)).map(|row| row.instance.step.0).collect();
    assert_eq!(of, [CREDIT], "what was dropped keeps how it ended");
}

#[test]
fn a_server_that_is_killed_goes_on_planning_where_it_was() {
    let mut desk = desk_with(|_| {});
    let run = disputed(&mut desk);
    desk.restart();
    assert_eq!(desk.work(), "plan");
    desk.restart();
    desk.reads(&run, by_the_bank);
    desk.restart();
    assert_eq!(desk.work(), "bank");
    desk.restart();
    assert_eq!(desk.work(), "comply");
    desk.restart();
    assert_eq!(desk.work(), "decide");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
    assert_eq!(desk.verdicts(&run), [Some(Verdict::Accepted)]);
}

#[test]
fn a_run_without_replans_fails_as_ever() {
    let mut desk = Desk::new(workflow("loan", loan_steps()));
    let run = disputed(&mut desk);
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
    let mut desk = desk_with(|declared| declared.on = [Trigger::Rejected].into());
    let run = disputed(&mut desk);
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
}

#[test]
fn an_optional_step_that_fails_makes_no_plan() {
    let mut steps = loan_steps();
    steps[usize::from(CREDIT)].optional = true;
    let mut desk = Desk::new(loan_with(steps, |_| {}));
    let run = disputed(&mut desk);
    assert_eq!(desk.work(), "comply");
    assert_eq!(desk.verdicts(&run), []);
}

/// What is refused, with the reason; the run then fails as it would have, since there is one replan only.
fn refuses(desk: &mut Desk, change: impl FnOnce(&mut Revision, &mut Workflow)) -> Unfit {
    let run = disputed(desk);
    desk.plans(&run, change);
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
    let failure = desk.disk().runs[&run].failure.clone().unwrap();
    assert_eq!((&*failure.class, failure.step), ("boom", Some(name("credit"))));
    desk.last_refusal(&run)
}

fn once(declared: &mut Replanning) {
    declared.max = 1;
}

#[test]
fn a_revision_uses_what_its_workflow_allows() {
    let found = refuses(&mut desk_with(once), |revision, plan| {
        revision.dropped.insert(StepIndex(CREDIT));
        plan.steps[usize::from(COMPLY)].after = vec![StepIndex(VERIFY)];
        revision.changed.insert(StepIndex(COMPLY));
        add(revision, plan, step("rob", &[]));
    });
    let Unfit::NotAllowed { step, name, .. } = found else { panic!("{found:?}") };
    assert_eq!((step.as_str(), &*name), ("rob", "rob"));
}

#[test]
fn a_revision_does_not_use_a_tool_that_the_tenant_is_denied() {
    let mut desk = desk_with(|declared| {
        once(declared);
        declared.parts.tools.insert(name("bureau"));
    });
    desk.declare(Configure::Tool(super::catalog::tool("bureau", None)));
    let rules = Rules { denied_tools: [name("bureau")].into(), ..Rules::default() };
    desk.declare(Configure::Tenant(Tenant { rules, ..tenant("b", "large") }));
    let found = refuses(&mut desk, |revision, plan| {
        by_the_bank(revision, plan);
        let at = revision.added.first().unwrap().0;
        plan.steps[usize::from(at)].tool = Some(name("bureau"));
    });
    assert_eq!(found, Unfit::Denied { step: name("bank"), name: "bureau".into() });
}

#[test]
fn a_revision_does_not_touch_a_finished_step_outside_of_its_scope() {
    let found = refuses(&mut desk_with(once), redo(&[VERIFY, CREDIT]));
    assert_eq!(found, Unfit::OutOfScope { step: name("verify") });
    let mut desk = desk_with(|declared| declared.scope = Scope::All);
    let run = disputed(&mut desk);
    desk.plans(&run, redo(&[VERIFY]));
    assert_eq!(
        desk.work(),
        "verify",
        "a scope of all lets it, and what was made from it is done again"
    );
    assert_eq!(desk.work(), "credit");
}

#[test]
fn a_revision_does_not_cost_more_than_is_left() {
    let mut steps = loan_steps();
    steps[usize::from(DECIDE)].cost_nano = Nano::from_cents(8).0;
    let mut desk = Desk::new(loan_with(steps, once));
    let budget = Budget { run: Some(Nano::from_cents(20)), ..Budget::default() };
    desk.declare(Configure::Class(BudgetClass { name: name("tight"), quotas: [].into(), budget }));
    desk.declare(Configure::Tenant(Tenant {
        budget_class: Some(name("tight")),
        ..tenant("b", "large")
    }));
    let found = refuses(&mut desk, |revision, plan| {
        by_the_bank(revision, plan);
        let at = revision.added.first().unwrap().0;
        plan.steps[usize::from(at)].cost_nano = Nano::from_cents(13).0;
    });
    let (need, left) = (Nano::from_cents(21), Nano::from_cents(20));
    assert_eq!(found, Unfit::TooCostly { need, left });
}

#[test]
fn a_revision_says_what_becomes_of_the_failure_and_changes_something() {
    let found = refuses(&mut desk_with(once), |revision, plan| {
        add(revision, plan, step("ask", &[]));
    });
    assert_eq!(found, Unfit::LeavesFailure { step: name("credit") });
    assert_eq!(refuses(&mut desk_with(once), |_, _| {}), Unfit::Empty);
}

#[test]
fn an_answer_that_is_no_plan_is_refused_and_another_is_asked_for() {
    let mut desk = desk_with(|_| {});
    let run = disputed(&mut desk);
    assert_eq!(desk.work(), "plan");
    let message = "these steps wait for each other: a after b after a";
    desk.evaluate(Err(Failure::cut("revision-invalid", message)));
    assert_eq!(desk.last_refusal(&run), Unfit::Invalid { message: message.into() });
    desk.plans(&run, by_the_bank);
    assert_eq!(desk.work(), "bank");
    assert_eq!(desk.verdicts(&run).len(), 2);
}

#[test]
fn a_planner_that_fails_gives_no_answer() {
    let mut desk = desk_with(once);
    let run = disputed(&mut desk);
    assert_eq!(desk.break_step(), "plan");
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
    assert!(matches!(desk.last_refusal(&run), Unfit::NoAnswer { .. }));
    assert_eq!(desk.disk().runs[&run].failure.as_ref().unwrap().step, Some(name("credit")));
}

#[test]
fn a_planner_that_loops_comes_to_an_end() {
    let mut desk = desk_with(|declared| declared.max = 3);
    let run = disputed(&mut desk);
    for _ in 0..3 {
        desk.plans(&run, redo(&[CREDIT]));
        assert_eq!(desk.break_step(), "credit");
    }
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
    assert_eq!(desk.verdicts(&run), vec![Some(Verdict::Accepted); 3]);
    assert_eq!(desk.lease("w").len(), 0);
}

#[test]
fn a_contradiction_puts_what_it_rests_on_in_doubt_and_that_is_done_again() {
    let mut desk = desk_with(|_| {});
    let run = desk.submit("b", "loan");
    desk.work();
    desk.work();
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "comply");
    let failure = Failure::cut("contradiction", "the income is below the debts");
    let steps = vec![name("credit")];
    desk.says(&grants[0], &Outcome::Contradicted { failure, steps, cost: None });
    assert_eq!(desk.trust(&run, CREDIT), Trust::Suspect);
    assert_eq!(desk.trust(&run, VERIFY), Trust::Derived);
    desk.restart();
    assert_eq!(desk.trust(&run, CREDIT), Trust::Suspect);
    desk.plans(&run, redo(&[COMPLY]));
    assert_eq!(desk.work(), "credit", "though the planner did not say so");
    assert_eq!(desk.work(), "comply");
    assert_eq!(desk.work(), "decide");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
    assert_eq!(desk.trust(&run, CREDIT), Trust::Derived);
}

#[test]
fn a_contradiction_of_a_step_that_is_not_there_is_no_outcome() {
    let mut desk = desk_with(|_| {});
    let run = desk.submit("b", "loan");
    desk.work();
    desk.work();
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "comply");
    let says = |steps: &[&str]| Outcome::Contradicted {
        failure: Failure::cut("contradiction", "the income is below the debts"),
        steps: steps.iter().map(|step| name(step)).collect(),
        cost: None,
    };
    let said = desk.report("w", &ids(&grants), &says(&["credit", "crdit"]));
    assert_eq!(desk.trust(&run, CREDIT), Trust::Derived);
    assert!(said.contains("UnknownStep") && said.contains("credit"), "{said}");
    desk.complete("w", &ids(&grants));
    assert_eq!(desk.work(), "decide");
}

#[test]
fn a_check_that_was_passed_makes_an_output_verified() {
    let mut desk = desk_with(|_| {});
    let run = desk.submit("b", "loan");
    let grants = desk.lease("w");
    let judged = Judged { is_checked: true, confidence: None };
    let outcome = Outcome::Completed { output: payload("1"), judged, cost: None };
    desk.says(&grants[0], &outcome);
    assert_eq!(desk.trust(&run, VERIFY), Trust::Verified);
    desk.work();
    assert_eq!(desk.trust(&run, CREDIT), Trust::Derived);
}

fn unsure() -> Outcome {
    let confidence = Some(Confidence { permille: 620, least_permille: 800 });
    let judged = Judged { is_checked: false, confidence };
    Outcome::Completed { output: payload("{\"score\":1}"), judged, cost: None }
}

#[test]
fn an_output_that_its_step_is_not_sure_of_stands_if_the_new_plan_goes_on_with_it() {
    let mut desk = desk_with(|_| {});
    let run = desk.submit("b", "loan");
    desk.work();
    let grants = desk.lease("w");
    desk.says(&grants[0], &unsure());
    let waits = desk.explain(&run);
    assert!(waits.contains("credit: Disputed Replan { trigger: LowConfidence"), "{waits}");
    desk.restart();
    desk.plans(&run, |revision, plan| {
        let ask = add(revision, plan, step("ask", &[CREDIT]));
        plan.steps[usize::from(COMPLY)].after.push(ask);
        revision.changed.insert(StepIndex(COMPLY));
    });
    assert_eq!(desk.work(), "ask");
    assert_eq!(desk.work(), "comply");
    assert_eq!(desk.work(), "decide");
    let rows = desk.disk().steps_of(&run);
    let credit = rows.iter().find(|row| row.instance.step == StepIndex(CREDIT)).unwrap();
    assert_eq!(credit.state, StepState::Done);
}

fn with_reviewers(workflow: Workflow) -> Desk {
    let mut desk = Desk::new(workflow);
    desk.declare(Configure::ReviewerPool(pool("people", &["ada", "bob"])));
    let reviewer_pool = Some(name("people"));
    desk.declare(Configure::Tenant(Tenant { reviewer_pool, ..tenant("b", "large") }));
    desk
}

#[test]
fn people_decide_of_what_a_step_is_not_sure_of_where_nobody_plans() {
    for (outcome, last) in [("accepted", "comply"), ("resolved", "comply"), ("failed", "")] {
        let mut desk = with_reviewers(workflow("loan", loan_steps()));
        let run = desk.submit("b", "loan");
        desk.work();
        let grants = desk.lease("w");
        desk.says(&grants[0], &unsure());
        assert_eq!(desk.lease("w").len(), 0);
        desk.restart();
        let (view, fence) = desk.next_review("ada").expect("there is one");
        let cause = ReviewCause::Confidence { permille: 620, least_permille: 800 };
        assert_eq!(view.cause, cause);
        let given = super::reviews::decide(view.id, "ada", fence, outcome);
        let given = crate::cell::input::Decide { digest: view.digest, ..given };
        assert_eq!(desk.decide(given), Ok(0));
        assert_eq!(desk.work(), last, "{outcome}");
        let rows = desk.disk().steps_of(&run);
        let credit = rows.iter().find(|row| row.instance.step == StepIndex(CREDIT)).unwrap();
        match outcome {
            "accepted" => assert_eq!(credit.trust, Trust::Verified),
            "resolved" => assert_eq!(credit.output, Some(payload("{\"limit\":5}"))),
            _ => assert_eq!(desk.run_status(&run), RunStatus::Failed),
        }
    }
}

#[test]
fn without_anybody_to_ask_a_step_that_is_not_sure_fails() {
    let mut desk = Desk::new(workflow("loan", loan_steps()));
    let run = desk.submit("b", "loan");
    desk.work();
    let grants = desk.lease("w");
    desk.says(&grants[0], &unsure());
    let failure = desk.disk().runs[&run].failure.clone().unwrap();
    assert_eq!(&*failure.class, "low-confidence");
}

#[test]
fn a_step_that_cannot_be_paid_for_is_planned_around() {
    let mut steps = loan_steps();
    steps[usize::from(CREDIT)].cost_nano = Nano::from_cents(5).0;
    let mut desk = Desk::new(loan_with(steps, |_| {}));
    let budget = Budget { run: Some(Nano::from_cents(6)), ..Budget::default() };
    desk.declare(Configure::Class(BudgetClass { name: name("tight"), quotas: [].into(), budget }));
    desk.declare(Configure::Tenant(Tenant {
        budget_class: Some(name("tight")),
        ..tenant("b", "large")
    }));
    let run = desk.submit("b", "loan");
    let grants = desk.lease("w");
    let cost = Some(Nano::from_cents(4));
    let outcome = Outcome::Completed { output: payload("1"), judged: Judged::default(), cost };
    desk.says(&grants[0], &outcome);
    let planner = desk.lease("w2");
    assert_eq!(tasks(&planner), "plan");
    let waits = desk.explain(&run);
    assert!(waits.contains("credit: Disputed Replan { trigger: Budget"), "{waits}");
    assert_eq!(desk.run_status(&run), RunStatus::Running);
    desk.complete("w2", &ids(&planner));
    desk.reads(&run, by_the_bank);
    assert_eq!(desk.work(), "bank");
}

/// A run whose revision waits for people to agree.
fn to_approve(desk: &mut Desk) -> RunKey {
    let run = disputed(desk);
    desk.plans(&run, by_the_bank);
    run
}

fn agree(desk: &mut Desk, outcome: &str) {
    let (view, fence) = desk.next_review("ada").expect("there is one");
    assert_eq!(view.cause, ReviewCause::Replan { number: 1 });
    assert_eq!(desk.decide(decide(view.id, "ada", fence, outcome)), Ok(0));
}

#[test]
fn people_agree_to_a_revision_where_the_workflow_or_the_tenant_says_so() {
    let approval = Some(Arc::new(Terms::default()));
    let by_workflow = loan_with(loan_steps(), |declared| declared.approval = approval);
    let mut desks =
        vec![with_reviewers(by_workflow), with_reviewers(loan_with(loan_steps(), |_| {}))];
    desks[1].declare(Configure::Tenant(Tenant {
        reviewer_pool: Some(name("people")),
        rules: Rules { replan_approval: Some(true), ..Rules::default() },
        ..tenant("b", "large")
    }));
    for mut desk in desks {
        let run = to_approve(&mut desk);
        assert_eq!(desk.lease("w").len(), 0, "nothing goes on before somebody agrees");
        desk.restart();
        agree(&mut desk, "approved");
        desk.restart();
        desk.reads(&run, by_the_bank);
        assert_eq!(desk.work(), "bank");
        let disk = desk.disk();
        let row = disk.replans_of(&run).next().unwrap();
        assert_eq!(row.approved_by, [name("ada")]);
        assert_eq!(row.verdict, Some(Verdict::Accepted));
    }
}

#[test]
fn a_revision_that_nobody_agrees_to_does_not_become_the_plan() {
    let approved = |declared: &mut Replanning| {
        once(declared);
        declared.approval = Some(Arc::new(Terms::default()));
    };
    let mut desk = with_reviewers(loan_with(loan_steps(), approved));
    let run = to_approve(&mut desk);
    agree(&mut desk, "rejected");
    assert_eq!(desk.last_refusal(&run), Unfit::Rejected);
    assert_eq!(desk.run_status(&run), RunStatus::Failed);

    let mut desk = with_reviewers(loan_with(loan_steps(), approved));
    let run = to_approve(&mut desk);
    desk.pass(Span::from_secs(25 * 3_600));
    assert_eq!(desk.last_refusal(&run), Unfit::Overdue, "silence is no agreement");

    let mut desk = Desk::new(loan_with(loan_steps(), approved));
    let run = to_approve(&mut desk);
    assert_eq!(desk.last_refusal(&run), Unfit::NoReviewers);
}

#[test]
fn a_run_that_is_cancelled_while_it_is_planned_again_ends() {
    let approval = Some(Arc::new(Terms::default()));
    let mut desk = with_reviewers(loan_with(loan_steps(), |declared| declared.approval = approval));
    let run = to_approve(&mut desk);
    desk.command(&run, Command::Cancel);
    assert_eq!(desk.run_status(&run), RunStatus::Cancelled);
    assert_eq!(desk.verdicts(&run), [Some(Verdict::Cancelled)]);
    let states: Vec<ReviewState> = desk.disk().reviews().map(|row| row.state.clone()).collect();
    assert_eq!(states, [ReviewState::Cancelled]);

    let mut desk = desk_with(|_| {});
    let run = disputed(&mut desk);
    desk.command(&run, Command::Cancel);
    assert_eq!(desk.run_status(&run), RunStatus::Cancelled);
}

#[test]
fn a_run_that_is_retried_follows_its_newest_plan() {
    let mut desk = desk_with(once);
    let run = disputed(&mut desk);
    desk.plans(&run, by_the_bank);
    assert_eq!(desk.break_step(), "bank");
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
    let rows = desk.rows(&run);
    let answer = desk.retry(&rows);
    assert!(matches!(answer, crate::cell::effect::Response::Commanded { .. }), "{answer:?}");
    assert_eq!(desk.work(), "bank");
    assert_eq!(desk.work(), "comply");
    assert_eq!(desk.work(), "decide");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
}

#[test]
fn steps_that_fail_while_a_planner_is_at_work_wait_for_its_plan() {
    let steps = vec![step("left", &[]), step("right", &[]), step("join", &[0, 1])];
    let mut desk = Desk::new(loan_with(steps, |_| {}));
    let run = desk.submit("b", "loan");
    let grants = desk.lease("w");
    for grant in &grants {
        desk.fail("w", &grant.lease, false);
    }
    desk.plans(&run, redo(&[0]));
    assert_eq!(desk.verdicts(&run), [Some(Verdict::Accepted), None], "the other step has its own");
    desk.restart();
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "left plan");
    desk.complete("w", &ids(&grants));
    desk.reads(&run, redo(&[1]));
    assert_eq!(desk.work(), "right");
    assert_eq!(desk.work(), "join");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
}

#[test]
fn a_worker_that_reports_late_for_a_step_that_was_forgotten_changes_nothing() {
    let mut desk = desk_with(|declared| declared.scope = Scope::All);
    let run = desk.submit("b", "loan");
    let first = desk.lease("w");
    desk.complete("w", &ids(&first));
    assert_eq!(desk.break_step(), "credit");
    desk.plans(&run, redo(&[VERIFY]));
    let receipt = desk.report("w", &ids(&first), &completed("2"));
    assert!(receipt.contains("Stale"), "{receipt}");
    assert_eq!(desk.work(), "verify");
}

#[test]
fn a_new_step_has_its_place_beside_the_items_of_a_map() {
    let map = crate::plan::Map {
        over: crate::plan::Expr("input.items".into()),
        parallel: 2,
        items_max: 2,
    };
    let steps = vec![
        Step { map: Some(map), ..step("each", &[]) },
        step("credit", &[]),
        step("decide", &[0, 1]),
    ];
    let mut desk = Desk::new(loan_with(steps, |_| {}));
    let run = desk.submit("b", "loan");
    desk.evaluate(Ok(Value::Items(2)));
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "credit each each");
    let credit = grants.iter().find(|grant| super::desk::task(grant) == "credit").unwrap();
    desk.fail("w", &credit.lease, false);
    desk.plans(&run, |revision, plan| {
        let ask = add(revision, plan, step("ask", &[]));
        plan.steps[1].after = vec![ask];
        revision.changed.insert(StepIndex(1));
    });
    assert_eq!(desk.work(), "ask");
    assert_eq!(desk.work(), "credit");
    let items: Vec<_> = ids(&grants).into_iter().filter(|id| id.instance.step.0 == 0).collect();
    desk.complete("w", &items);
    assert_eq!(desk.work(), "decide");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
}

#[test]
fn whoever_has_planned_does_not_agree_to_it() {
    let mut desk = with_reviewers(loan_with(loan_steps(), |declared| {
        declared.planner.kind = crate::plan::StepKind::Review(Arc::new(Terms::default()));
        declared.approval = Some(Arc::new(Terms::default()));
    }));
    let run = disputed(&mut desk);
    desk.evaluate(Ok(Value::Digest([7; 32])));
    let (view, fence) = desk.next_review("ada").expect("somebody is to plan");
    assert_eq!(desk.decide(decide(view.id, "ada", fence, "approved")), Ok(0));
    desk.restart();
    desk.reads(&run, by_the_bank);
    assert!(desk.next_review("ada").is_none(), "she has planned it");
    let (view, fence) = desk.next_review("bob").expect("he has not");
    assert_eq!(desk.decide(decide(view.id, "bob", fence, "approved")), Ok(0));
    desk.reads(&run, by_the_bank);
    assert_eq!(desk.work(), "bank");
}

#[test]
fn a_step_that_was_undone_in_an_earlier_life_is_undone_again_when_it_was_done_again() {
    let undo = crate::plan::Compensation {
        task: name("undo"),
        pool: name("default"),
        with: Vec::new(),
        retry: crate::plan::Retry::default(),
        attempt_timeout: Span::from_secs(60),
    };
    let steps = vec![
        Step { compensate: Some(undo), ..step("book", &[]) },
        step("pay", &[0]),
        step("tell", &[1]),
    ];
    let mut desk = Desk::new(loan_with(steps, |declared| {
        declared.scope = Scope::All;
        declared.on = [Trigger::Contradiction].into();
    }));
    let run = desk.submit("b", "loan");
    assert_eq!(desk.work(), "book");
    assert_eq!(desk.break_step(), "pay");
    assert_eq!(desk.work(), "undo");
    let rows = desk.rows(&run);
    let (key, from) = (run.clone(), Some(name("pay")));
    let ended = Some(desk.disk().ended(rows.0, rows.1));
    let answer = desk.ask(|reply| {
        let retry = crate::cell::input::Retry { reply, by: None, key, from, rows: ended };
        crate::cell::input::Input::Retry(Box::new(retry))
    });
    assert!(matches!(answer, crate::cell::effect::Response::Commanded { .. }), "{answer:?}");
    let grants = desk.lease("w");
    assert_eq!(
        tasks(&grants),
        "pay",
        "what was undone counts as done where the retry begins behind it"
    );
    let failure = Failure::cut("contradiction", "nothing is booked");
    let steps = vec![name("book")];
    desk.says(&grants[0], &Outcome::Contradicted { failure, steps, cost: None });
    desk.plans(&run, redo(&[0, 1]));
    assert_eq!(desk.work(), "book");
    assert!(!desk.explain(&run).contains("book: Done\nbook"), "{}", desk.explain(&run));
    assert_eq!(desk.break_step(), "pay");
    assert_eq!(desk.work(), "undo");
    assert_eq!(desk.run_status(&run), RunStatus::Failed);
}
