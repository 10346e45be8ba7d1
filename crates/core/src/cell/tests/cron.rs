//! Runs that schedules start: when, how many, and what is said of those that are left out.

use std::sync::Arc;

use super::desk::{ids, name, tenant};
use super::{Desk, step, workflow};
use crate::cell::input::{Command, Configure};
use crate::money::Nano;
use crate::plan::{Overlap, Schedule, Step, Workflow};
use crate::pool::Valve;
use crate::quota::{Budget, BudgetClass};
use crate::row::RunStatus;
use crate::tenant::Tenant;
use crate::time::Span;

const HOUR: Span = Span::from_secs(3_600);

fn schedule(overlap: Overlap) -> Schedule {
    Schedule {
        name: name("hourly"),
        tenant: name("a"),
        cron: "hour".into(),
        time_zone: "UTC".into(),
        overlap,
        input: "{}".into(),
    }
}

/// A version of a workflow of one step with that schedule, or none.
fn version(of: &str, version: u32, schedule: Option<Schedule>) -> Workflow {
    let source = format!("{of} {version}").into();
    let schedules = schedule.into_iter().collect();
    Workflow { version, source, schedules, ..workflow(of, vec![step("only", &[])]) }
}

fn declare(desk: &mut Desk, workflow: Workflow) {
    desk.declare(Configure::Workflow(Arc::new(workflow)));
}

/// The first time is an hour away, and known.
fn desk_of(overlap: Overlap) -> Desk {
    let mut desk = Desk::new(version("report", 1, Some(schedule(overlap))));
    let next = desk.now + HOUR;
    desk.find_next(next);
    desk
}

/// The next time comes, and the one after it is found.
fn hour(desk: &mut Desk) {
    desk.pass(HOUR);
    let next = desk.now + HOUR;
    desk.find_next(next);
}

fn finish_all(desk: &mut Desk) {
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
}

/// Why times were left out.
fn skipped(desk: &Desk) -> Vec<String> {
    desk.decided("schedule-skipped").into_iter().map(|row| row.facts.to_string()).collect()
}

#[test]
fn a_run_starts_when_its_time_comes() {
    let mut desk = desk_of(Overlap::Skip);
    desk.pass(Span(HOUR.0 - 1));
    assert_eq!(desk.live().len(), 0);
    desk.pass(Span(1));
    let runs = desk.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].key.tenant.as_str(), "a");
    assert_eq!(runs[0].schedule.as_ref().map(crate::id::StepName::as_str), Some("hourly"));
    assert!(skipped(&desk).is_empty());
}

#[test]
fn schedules_of_one_name_in_two_workflows_start_both_at_one_time() {
    let mut desk = desk_of(Overlap::Skip);
    declare(&mut desk, version("digest", 1, Some(schedule(Overlap::Skip))));
    let next = desk.now + HOUR;
    desk.find_next(next);
    desk.pass(HOUR);
    let mut workflows: Vec<String> =
        desk.runs().iter().map(|run| run.workflow.to_string()).collect();
    workflows.sort();
    assert_eq!(workflows, ["digest", "report"]);
}

#[test]
fn skip_leaves_a_time_out_while_the_last_run_is_live_and_says_so() {
    let mut desk = desk_of(Overlap::Skip);
    hour(&mut desk);
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 1);
    let skipped = skipped(&desk);
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].contains("overlap") && skipped[0].contains("report"), "{skipped:?}");
    finish_all(&mut desk);
    assert_eq!(desk.live().len(), 0, "what was left out is not made up for");
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 2);
}

#[test]
fn queue_starts_one_run_when_the_last_has_ended_and_leaves_out_the_others() {
    let mut desk = desk_of(Overlap::Queue);
    hour(&mut desk);
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 1);
    assert!(skipped(&desk).is_empty(), "it is not left out, it waits");
    hour(&mut desk);
    assert_eq!(skipped(&desk).len(), 1);
    finish_all(&mut desk);
    assert_eq!((desk.live().len(), desk.runs().len()), (1, 2));
    finish_all(&mut desk);
    assert_eq!((desk.live().len(), desk.runs().len()), (0, 2));
}

#[test]
fn a_queued_time_outlives_a_restart() {
    let mut desk = desk_of(Overlap::Queue);
    hour(&mut desk);
    hour(&mut desk);
    desk.restart_at(desk.now);
    finish_all(&mut desk);
    assert_eq!((desk.live().len(), desk.runs().len()), (1, 2));
}

#[test]
fn allow_starts_a_run_beside_the_last() {
    let mut desk = desk_of(Overlap::Allow);
    hour(&mut desk);
    hour(&mut desk);
    assert_eq!(desk.live().len(), 2);
    assert!(skipped(&desk).is_empty());
}

#[test]
fn times_missed_while_the_server_was_down_start_one_run_together() {
    let mut desk = desk_of(Overlap::Allow);
    desk.restart_at(desk.now + HOUR + HOUR + HOUR);
    desk.pass(Span::ZERO);
    assert_eq!(desk.runs().len(), 1);
    let now = desk.now;
    assert_eq!(desk.asked_next(), Some(("hour".into(), now)), "the next one is after now");
}

#[test]
fn a_time_that_comes_twice_because_the_clock_was_set_back_is_another_run() {
    let mut desk = desk_of(Overlap::Skip);
    let due = desk.now + HOUR;
    hour(&mut desk);
    finish_all(&mut desk);
    desk.restart_at(due - HOUR);
    declare(
        &mut desk,
        version("report", 2, Some(Schedule { cron: "again".into(), ..schedule(Overlap::Skip) })),
    );
    desk.find_next(due);
    desk.pass(HOUR);
    let statuses: Vec<RunStatus> = desk.runs().iter().map(|run| run.status).collect();
    assert_eq!(statuses.len(), 2, "the ended run keeps its row");
    assert!(statuses.contains(&RunStatus::Completed));
}

#[test]
fn a_dropped_schedule_starts_nothing_and_a_late_answer_does_not_bring_it_back() {
    let mut desk = desk_of(Overlap::Skip);
    desk.pass(HOUR);
    declare(&mut desk, version("report", 2, None));
    assert!(desk.schedules().is_empty());
    let next = desk.now + HOUR;
    desk.find_next(next);
    assert!(desk.schedules().is_empty());
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 1);
}

#[test]
fn an_answer_about_the_old_pattern_is_none_for_the_new_one() {
    let mut desk = Desk::new(version("report", 1, Some(schedule(Overlap::Skip))));
    let changed = Schedule { cron: "day".into(), ..schedule(Overlap::Skip) };
    declare(&mut desk, version("report", 2, Some(changed)));
    let start = desk.now;
    desk.find_next(start + HOUR);
    assert_eq!(desk.asked_next(), Some(("day".into(), start)));
    desk.find_next(start + HOUR + HOUR);
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 0, "that was the old pattern's time");
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 1);
}

#[test]
fn answers_that_overtake_each_other_leave_the_newest_pattern_in_force() {
    let mut desk = Desk::new(version("report", 1, Some(schedule(Overlap::Skip))));
    let changed = Schedule { cron: "day".into(), ..schedule(Overlap::Skip) };
    declare(&mut desk, version("report", 2, Some(changed)));
    let start = desk.now;
    desk.find_newest_next(start + HOUR + HOUR);
    desk.find_next(start + HOUR);
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 0);
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 1);
}

#[test]
fn a_changed_pattern_ends_the_time_of_the_old_one_at_once() {
    let mut desk = desk_of(Overlap::Skip);
    let changed = Schedule { cron: "day".into(), ..schedule(Overlap::Skip) };
    declare(&mut desk, version("report", 2, Some(changed)));
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 0);
}

#[test]
fn a_pattern_changed_just_before_a_crash_is_asked_about_by_the_next_owner() {
    let mut desk = desk_of(Overlap::Skip);
    let changed = Schedule { cron: "day".into(), ..schedule(Overlap::Skip) };
    declare(&mut desk, version("report", 2, Some(changed)));
    desk.restart_at(desk.now);
    let now = desk.now;
    assert_eq!(desk.asked_next(), Some(("day".into(), now)));
    desk.pass(HOUR);
    assert_eq!(desk.runs().len(), 0);
}

#[test]
fn a_change_of_the_input_alone_keeps_the_time() {
    let mut desk = desk_of(Overlap::Skip);
    let changed = Schedule { input: "[1]".into(), ..schedule(Overlap::Skip) };
    declare(&mut desk, version("report", 2, Some(changed)));
    assert_eq!(desk.asked_next(), None);
    desk.pass(HOUR);
    assert_eq!((desk.runs()[0].version, desk.runs()[0].input_bytes), (2, 3));
}

#[test]
fn a_time_of_a_suspended_tenant_is_left_out_and_said() {
    let mut desk = desk_of(Overlap::Queue);
    let declared = tenant("a", "small");
    desk.declare(Configure::Tenant(Tenant { suspended: true, ..declared.clone() }));
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 0);
    let found = desk.decided("schedule-skipped");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].tenant, Some(name("a")));
    assert!(found[0].facts.contains("suspended"), "{found:?}");
    desk.declare(Configure::Tenant(declared));
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 1);
}

#[test]
fn a_time_passes_the_valve_like_a_submission() {
    let mut desk = desk_of(Overlap::Allow);
    desk.declare(Configure::Valve(Valve { runs_soft: 1, runs_hard: 2, ..Valve::default() }));
    desk.submit("b", "report");
    desk.submit("a", "report");
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 2);
    let skipped = skipped(&desk);
    assert!(skipped.len() == 1 && skipped[0].contains("runs_hard"), "{skipped:?}");
}

#[test]
fn a_time_counts_against_the_tenants_own_bound() {
    let mut desk = desk_of(Overlap::Allow);
    for _ in 0..100 {
        desk.submit("a", "report");
    }
    hour(&mut desk);
    assert_eq!(desk.runs().len(), 100);
    let skipped = skipped(&desk);
    assert!(skipped.len() == 1 && skipped[0].contains("tenant_queue_full"), "{skipped:?}");
}

#[test]
fn a_time_without_money_is_left_out_and_said() {
    for (queued, overlap) in [(false, Overlap::Skip), (true, Overlap::Queue)] {
        let mut desk = desk_of(overlap);
        let paid = Step { cost_nano: Nano::from_cents(10).0, ..step("only", &[]) };
        let of = Workflow { steps: vec![paid], ..version("report", 2, Some(schedule(overlap))) };
        declare(&mut desk, of);
        if queued {
            hour(&mut desk);
            hour(&mut desk);
            assert_eq!(desk.runs().len(), 1, "the second waits for the first");
        }
        let budget = Budget { month: Some(Nano::from_cents(9)), ..Budget::default() };
        let class = BudgetClass { name: name("tight"), quotas: [].into(), budget };
        desk.declare(Configure::Class(class));
        let of_a = tenant("a", "small");
        desk.declare(Configure::Tenant(Tenant { budget_class: Some(name("tight")), ..of_a }));
        if queued {
            let first = desk.runs()[0].key.clone();
            desk.command(&first, Command::Cancel);
        } else {
            hour(&mut desk);
        }
        assert_eq!(desk.runs().len(), usize::from(queued));
        let skipped = skipped(&desk);
        assert_eq!(skipped.len(), 1, "{skipped:?}");
        assert!(skipped[0].contains("budget_exhausted"), "{skipped:?}");
    }
}
