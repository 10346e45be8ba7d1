//! What is said of where the time of runs goes.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use crate::calendar::{Calendar, TimeZone};
use crate::cell::change::Snapshot;
use crate::cell::effect::{Effect, Response, Segment, WaitedOn, What};
use crate::cell::input::{Command, Configure, Input, Submit, Value};
use crate::driver::Driver;
use crate::gate::Refusal;
use crate::id::RunId;
use crate::plan::{Retry, Step, StepKind, Wait};
use crate::quota::{Budget, BudgetClass, Rule, Tool, Unit};
use crate::row::{Lane, RunKey};
use crate::tenant::Tenant;
use crate::time::{Span, Time};
use crate::trace::{Anchor, Incoming, Sampling, SpanId, Trace, TraceId};

use super::desk::{Desk, ids, name, payload, step, tenant, workflow};
use super::reviews::{decide, terms, waiting};

const SECOND: Span = Span::from_secs(1);

impl Desk {
    /// The parts of time that have been said since the last call.
    fn segments(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        self.released.retain(|effect| {
            let Effect::Segment(segment) = effect else { return true };
            segments.push((**segment).clone());
            false
        });
        segments
    }

    /// The same, one line each in seconds since the first run, and with the check that they are a tree.
    #[track_caller]
    fn time_of(&mut self, expected: &Expect) {
        let segments = self.segments();
        is_tree(&segments);
        let begin = segments.iter().map(|segment| segment.from).min().unwrap_or_default();
        let mut text = String::new();
        for Segment { workflow, from, to, what, .. } in &segments {
            let seconds = |time: Time| time.since(begin).0 / 1_000_000;
            let said = match what {
                What::Run { status, failure, .. } => format!("run {status:?} {failure:?}"),
                What::Try(tried) => {
                    let name = &workflow.step(tried.instance.step).name;
                    let (attempt, became) = (tried.attempt, tried.became);
                    format!("{name} {attempt}: {became:?} {:?}", tried.failure)
                }
                What::Wait { instance, on, .. } => {
                    let name = &workflow.step(instance.step).name;
                    match on {
                        WaitedOn::Gate(Refusal::Limit { tool, .. }) => format!("{name} on {tool}"),
                        WaitedOn::Review(_) => format!("{name} on review"),
                        WaitedOn::Money(_) => format!("{name} on money"),
                        other => format!("{name} on {other:?}"),
                    }
                }
            };
            let _ = writeln!(text, "{} to {} {said}", seconds(*from), seconds(*to));
        }
        expected.assert_eq(&text);
    }
}

/// Every wait lies within what it is a part of, and all within their runs.
#[track_caller]
fn is_tree(segments: &[Segment]) {
    for part in segments {
        assert!(part.from <= part.to, "{part:?}");
        let holds = |whole: &&Segment| {
            whole.key == part.key && whole.from <= part.from && part.to <= whole.to
        };
        let is_whole = |whole: &&Segment| match (&part.what, &whole.what) {
            (What::Wait { instance, of: Some(number), .. }, What::Try(tried)) => {
                tried.instance == *instance && tried.number == *number
            }
            (What::Wait { of: None, .. } | What::Try(_), What::Run { .. }) => true,
            _ => false,
        };
        let is_known = matches!(part.what, What::Run { .. })
            || segments.iter().filter(is_whole).any(|whole| holds(&whole));
        assert!(is_known, "{part:?} hangs on nothing of {segments:#?}");
    }
}

fn submit(desk: &mut Desk, run: u128, trace: Option<Incoming>) -> RunKey {
    let key = RunKey { tenant: name("b"), run: RunId(run) };
    let response = desk.ask(|reply| {
        Input::Submit(Box::new(Submit {
            trace,
            subject: None,
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
    assert!(matches!(response, Response::Submitted { .. }), "{response:?}");
    key
}

const fn incoming(is_sampled: bool) -> Incoming {
    Incoming { anchor: Anchor { trace: TraceId(77), span: SpanId(7) }, is_sampled }
}

#[test]
fn a_step_waits_for_its_limit_and_then_for_a_worker() {
    let call = Step { tool: Some(name("bureau")), ..step("call", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![call]));
    desk.declare(Configure::Tool(Tool::new(name("bureau"), Vec::new())));
    let once = Rule::Window {
        units: 1,
        every: Calendar::Minute,
        time_zone: TimeZone::UTC,
        of: Unit::Calls,
    };
    let quotas = [(name("bureau"), vec![once])].into();
    let class = BudgetClass { name: name("small"), quotas, budget: Budget::default() };
    desk.declare(Configure::Class(class));
    let class = Some(name("small"));
    desk.declare(Configure::Tenant(Tenant { budget_class: class, ..tenant("b", "large") }));
    desk.now = Time(desk.now.0.next_multiple_of(60_000_000));
    submit(&mut desk, 1, None);
    let first = desk.lease("w");
    desk.complete("w", &ids(&first));
    desk.pass(SECOND);
    submit(&mut desk, 2, None);
    desk.pass(SECOND);
    assert!(desk.lease("w").is_empty());
    desk.pass(Span::from_secs(62));
    let second = desk.lease("w");
    desk.pass(SECOND);
    desk.complete("w", &ids(&second));
    desk.time_of(&expect![[r#"
        0 to 0 call 1: Done None
        0 to 0 run Completed None
        1 to 2 call on Slot
        2 to 64 call on bureau
        1 to 65 call 1: Done None
        1 to 65 run Completed None
    "#]]);
}

#[test]
fn a_pause_is_told_apart_from_the_queue() {
    let mut desk = Desk::new(workflow("flow", vec![step("only", &[])]));
    let run = submit(&mut desk, 1, None);
    desk.pass(SECOND);
    desk.command(&run, Command::Pause);
    desk.pass(Span::from_secs(5));
    desk.command(&run, Command::Resume);
    desk.pass(SECOND);
    let leases = desk.lease("w");
    desk.complete("w", &ids(&leases));
    desk.time_of(&expect![[r#"
        0 to 1 only on Slot
        1 to 6 only on Resume
        6 to 7 only on Slot
        0 to 7 only 1: Done None
        0 to 7 run Completed None
    "#]]);
}

#[test]
fn every_attempt_is_a_part_of_its_own_and_so_is_one_that_is_lost() {
    let retry = Retry { attempts: 2, ..Retry::default() };
    let mut desk = Desk::new(workflow("flow", vec![Step { retry, ..step("only", &[]) }]));
    submit(&mut desk, 1, None);
    let lost = desk.lease("w");
    desk.pass(Span::from_secs(100));
    let failed = desk.lease("w");
    assert_ne!(lost[0].trace, failed[0].trace);
    desk.pass(SECOND);
    desk.fail("w", &failed[0].lease, true);
    desk.pass(Span::from_secs(100));
    let last = desk.lease("w");
    desk.fail("w", &last[0].lease, true);
    desk.time_of(&expect![[r#"
        0 to 10 only 1: Ready None
        10 to 100 only on Slot
        10 to 101 only 1: Backoff Some("boom")
        101 to 201 only on Slot
        101 to 201 only 2: Failed Some("boom")
        0 to 201 run Failed Some("boom")
    "#]]);
}

#[test]
fn people_signals_and_time_are_waited_for() {
    let (mut desk, _) = waiting(terms());
    desk.pass(Span::from_secs(9));
    let (view, fence) = desk.next_review("ada").unwrap();
    assert_eq!(desk.decide(decide(view.id, "ada", fence, "approved")), Ok(0));
    let leases = desk.lease("w");
    desk.complete("w", &ids(&leases));
    desk.time_of(&expect![[r#"
        0 to 0 credit 1: Done None
        0 to 9 manual on review
        0 to 9 manual 0: Done None
        9 to 9 last 1: Done None
        0 to 9 run Completed None
    "#]]);

    let wait =
        |text: &str, after: &[u16], wait| Step { kind: StepKind::Wait(wait), ..step(text, after) };
    let steps = vec![
        wait("nap", &[], Wait::For(Span::from_secs(3))),
        wait("bell", &[0], Wait::Signal(name("ring"))),
    ];
    let mut desk = Desk::new(workflow("flow", steps));
    let run = submit(&mut desk, 1, None);
    desk.pass(Span::from_secs(5));
    desk.command(
        &run,
        Command::Signal { name: name("ring"), payload: payload("1"), idempotency: None },
    );
    desk.time_of(&expect![[r#"
        0 to 3 nap on Time
        0 to 3 nap 0: Done None
        3 to 5 bell on Signal("ring")
        3 to 5 bell 0: Done None
        0 to 5 run Completed None
    "#]]);
}

#[test]
fn what_is_called_off_says_what_it_had_waited_for() {
    let mut desk = Desk::new(workflow("flow", vec![step("first", &[]), step("last", &[0])]));
    let run = submit(&mut desk, 1, None);
    desk.pass(Span::from_secs(7));
    desk.command(&run, Command::Cancel);
    desk.time_of(&expect![[r#"
        0 to 7 first on Slot
        0 to 7 first 0: Cancelled None
        0 to 7 run Cancelled None
    "#]]);
}

#[test]
fn a_called_run_is_in_the_trace_of_its_caller() {
    let kind = StepKind::Call { workflow: name("child"), version: None };
    let mut desk = Desk::new(workflow("flow", vec![Step { kind, ..step("call", &[]) }]));
    let child = workflow("child", vec![step("only", &[])]);
    desk.declare(Configure::Workflow(std::sync::Arc::new(child)));
    submit(&mut desk, 1, Some(incoming(true)));
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    let leases = desk.lease("w");
    desk.complete("w", &ids(&leases));
    let segments = desk.segments();
    assert!(segments.iter().all(|segment| segment.trace.id == TraceId(77)), "{segments:#?}");
    let run_of = |workflow: &str| {
        let is_it = |part: &&Segment| matches!(part.what, What::Run { .. });
        let mut runs = segments.iter().filter(is_it);
        runs.find(|part| part.workflow.name.as_str() == workflow).unwrap()
    };
    let (caller, called) = (run_of("flow"), run_of("child"));
    assert_eq!(caller.trace.parent, Some(SpanId(7)));
    let calling = segments.iter().find_map(|part| match &part.what {
        What::Try(tried) if part.key == caller.key => Some(tried),
        _ => None,
    });
    let calling = calling.unwrap();
    let span = caller.trace.span(caller.key.run).of_try(calling.instance, calling.number);
    assert_eq!(called.trace.parent, Some(span));
}

#[test]
fn ids_of_spans_outlive_a_restart() {
    let mut desk = Desk::new(workflow("flow", vec![step("first", &[]), step("last", &[0])]));
    submit(&mut desk, 1, Some(incoming(true)));
    desk.pass(SECOND);
    let first = desk.lease("w");
    desk.segments();
    desk.restart();
    desk.pass(SECOND);
    desk.complete("w", &ids(&first));
    let last = desk.lease("w");
    desk.complete("w", &ids(&last));
    let segments = desk.segments();
    for grant in first.iter().chain(&last) {
        let is_it = |segment: &&Segment| match &segment.what {
            What::Try(tried) => {
                let run = segment.trace.span(segment.key.run);
                let span = run.of_try(tried.instance, tried.number);
                grant.trace == Some(Anchor { trace: segment.trace.id, span })
            }
            _ => false,
        };
        let found = segments.iter().find(is_it);
        assert!(found.is_some_and(|found| found.from < found.to || grant.lease != first[0].lease));
    }
    is_tree(&segments);
}

#[test]
fn a_run_that_is_retried_hangs_on_what_it_was_before() {
    let mut desk = Desk::new(workflow("flow", vec![step("only", &[])]));
    let run = submit(&mut desk, 1, None);
    let leases = desk.lease("w");
    desk.fail("w", &leases[0].lease, false);
    let before = desk.segments().pop().unwrap().trace;
    assert_eq!(before, Trace::of_run(run.run));
    let rows = desk.rows(&run);
    desk.retry(&rows);
    let leases = desk.lease("w");
    desk.complete("w", &ids(&leases));
    let after = desk.segments().pop().unwrap().trace;
    assert_eq!(after, Trace { id: before.id, parent: Some(before.span(run.run)) });
    assert_ne!(after.span(run.run), before.span(run.run));
}

#[test]
fn of_what_is_not_followed_nothing_is_said() {
    let mut desk = Desk::new(workflow("flow", vec![step("only", &[])]));
    submit(&mut desk, 1, Some(incoming(false)));
    let leases = desk.lease("w");
    assert_eq!(leases[0].trace, None);
    desk.complete("w", &ids(&leases));
    assert!(desk.segments().is_empty());
    for sampling in [None, Some(Sampling { permille: 0 })] {
        let snapshot = Snapshot { sampling, ..desk.disk().snapshot() };
        desk.driver = Driver::load(desk.now, 9, snapshot);
        let trace = sampling.is_none().then(|| incoming(true));
        let run = submit(&mut desk, 2 + u128::from(sampling.is_none()), trace);
        assert_eq!(desk.rows(&run).0.trace, None);
        let leases = desk.lease("w");
        desk.complete("w", &ids(&leases));
        assert!(desk.segments().is_empty());
    }
}
