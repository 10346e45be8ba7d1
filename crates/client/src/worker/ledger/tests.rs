//! The ledger of leases by scenarios: what is told to the server, and when it may be forgotten.

use fairlane_api::worker::{Acceptance, Completed, Exchanged, Reason, Receipt, Report};
use serde_json::value::RawValue;

use super::super::fixture::lease;
use super::*;

/// A ledger with a clock that only the test moves.
struct Desk {
    ledger: Ledger,
    now: Instant,
}

impl Desk {
    fn new(slots: u32) -> Self {
        Self { ledger: Ledger::new(slots), now: Instant::now() }
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
    }

    fn next(&mut self) -> Option<Plan> {
        self.ledger.next(self.now)
    }

    fn due(&mut self) -> Plan {
        self.next().expect("an exchange is due")
    }

    fn answer(&mut self, plan: &Plan, receipts: &[(&str, Receipt)], leases: &[&str]) -> Orders {
        let accepted = receipts.iter().map(|(lease, receipt)| Acceptance {
            lease: (*lease).to_owned(),
            receipt: *receipt,
            reason: (*receipt == Receipt::Stale).then_some(Reason::Ended),
            detail: None,
        });
        let answer = Exchanged {
            accepted: accepted.collect(),
            leases: leases.iter().map(|id| lease(id)).collect(),
            revoked: Vec::new(),
        };
        self.ledger.answered(plan.flight, answer, self.now)
    }

    /// The worker has polled and was given these.
    fn holding(slots: u32, leases: &[&str]) -> Self {
        let mut desk = Self::new(slots);
        let poll = desk.due();
        let orders = desk.answer(&poll, &[], leases);
        assert_eq!(orders.start.len(), leases.len());
        desk
    }

    fn finish(&mut self, lease: &str) {
        self.ledger.finish(completed(lease, "1"));
    }
}

fn completed(lease: &str, output: &str) -> Report {
    let output = RawValue::from_string(output.to_owned()).unwrap();
    Report {
        lease: lease.to_owned(),
        completed: Some(Completed { output: Some(output), cost: None }),
        ..Report::default()
    }
}

fn reported(plan: &Plan) -> Vec<&str> {
    plan.reports.iter().map(|report| report.lease.as_str()).collect()
}

#[test]
fn an_idle_worker_polls_for_all_its_slots_once() {
    let mut desk = Desk::new(4);
    let plan = desk.due();
    assert_eq!((plan.want, plan.hold), (4, true));
    assert!(desk.next().is_none(), "one long poll");
}

#[test]
fn a_report_supersedes_the_poll_and_what_ends_meanwhile_goes_with_the_next() {
    let mut desk = Desk::holding(4, &["a", "b", "c"]);
    let poll = desk.due();
    assert_eq!(poll.want, 1);
    desk.finish("a");
    let first = desk.due();
    assert_eq!((reported(&first), first.want), (vec!["a"], 2));
    desk.finish("b");
    desk.finish("c");
    assert!(desk.next().is_none(), "two are under way");
    desk.answer(&poll, &[], &[]);
    let second = desk.due();
    assert_eq!((reported(&second), second.want), (vec!["b", "c"], 4));
}

#[test]
fn a_lost_exchange_gives_its_outcomes_to_the_next_in_their_order() {
    let mut desk = Desk::holding(2, &["a", "b"]);
    desk.finish("a");
    let lost = desk.due();
    desk.finish("b");
    desk.ledger.failed(lost.flight);
    let again = desk.due();
    assert_eq!(reported(&again), ["a", "b"]);
    assert!(desk.next().is_none(), "one at a time until the server answers");
}

#[test]
fn a_stale_outcome_is_dropped_and_not_said_again() {
    let mut desk = Desk::holding(1, &["a"]);
    desk.finish("a");
    let report = desk.due();
    let orders = desk.answer(&report, &[("a", Receipt::Stale)], &[]);
    assert_eq!(orders.refused, [("a".to_owned(), Some(Reason::Ended))]);
    assert!(desk.due().reports.is_empty());
}

#[test]
fn an_outcome_without_a_receipt_is_said_again() {
    let mut desk = Desk::holding(1, &["a"]);
    desk.finish("a");
    let report = desk.due();
    desk.answer(&report, &[], &[]);
    assert_eq!(reported(&desk.due()), ["a"]);
}

#[test]
fn a_lease_is_renewed_before_half_of_its_time_is_over() {
    let mut desk = Desk::holding(1, &["a"]);
    desk.pass(Duration::from_millis(2_500));
    let beat = desk.due();
    assert_eq!(reported(&beat), ["a"]);
    assert!(beat.reports[0].heartbeat.is_some());
    desk.answer(&beat, &[("a", Receipt::Renewed)], &[]);
    desk.pass(Duration::from_millis(2_499));
    let listening = desk.due();
    assert!(listening.reports.is_empty(), "not again so soon");
    assert!(desk.ledger.wake_at().is_some());
}

#[test]
fn a_heartbeat_that_was_lost_is_sent_again_at_once() {
    let mut desk = Desk::holding(1, &["a"]);
    desk.pass(Duration::from_secs(3));
    let beat = desk.due();
    desk.ledger.failed(beat.flight);
    assert_eq!(reported(&desk.due()), ["a"]);
}

#[test]
fn a_lost_lease_stops_its_task_and_its_outcome_is_nobody_s() {
    let mut desk = Desk::holding(1, &["a"]);
    desk.pass(Duration::from_secs(3));
    let beat = desk.due();
    let orders = desk.answer(&beat, &[("a", Receipt::Stale)], &[]);
    assert_eq!(orders.stop, ["a"]);
    desk.finish("a");
    assert!(desk.due().reports.is_empty(), "there is nothing to report");
}

#[test]
fn a_revoked_lease_stops_its_task_and_is_still_reported() {
    let mut desk = Desk::holding(1, &["a"]);
    desk.pass(LISTEN_AFTER);
    let listening = desk.due();
    assert_eq!((listening.want, listening.hold), (0, true));
    let answer = Exchanged { revoked: vec!["a".to_owned()], ..Exchanged::default() };
    assert_eq!(desk.ledger.answered(listening.flight, answer, desk.now).stop, ["a"]);
    desk.finish("a");
    assert_eq!(reported(&desk.due()), ["a"]);
}

#[test]
fn a_busy_worker_opens_no_poll_between_short_steps() {
    let mut desk = Desk::holding(1, &["a"]);
    assert!(desk.next().is_none());
    assert_eq!(desk.ledger.wake_at(), Some(desk.now + LISTEN_AFTER));
}

#[test]
fn draining_withdraws_the_poll_takes_what_it_still_brings_and_reports_all() {
    let mut desk = Desk::holding(2, &["a"]);
    let poll = desk.due();
    desk.ledger.drain();
    let withdrawal = desk.due();
    assert_eq!((withdrawal.slots, withdrawal.want, withdrawal.hold), (1, 0, true));
    desk.answer(&poll, &[], &["late"]);
    assert!(!desk.ledger.is_drained());
    desk.finish("a");
    desk.finish("late");
    let last = desk.due();
    assert_eq!((reported(&last), last.want, last.hold), (vec!["a", "late"], 0, false));
    assert_eq!(last.slots, 0, "it offers nothing any more");
    assert!(!desk.ledger.is_drained(), "not accepted yet");
    desk.answer(&last, &[("a", Receipt::Recorded), ("late", Receipt::Recorded)], &[]);
    assert!(desk.ledger.is_drained());
}

#[test]
fn an_idle_worker_drains_only_when_its_poll_can_bring_no_lease_any_more() {
    let mut desk = Desk::new(2);
    let poll = desk.due();
    desk.ledger.drain();
    assert!(!desk.ledger.is_drained());
    let withdrawal = desk.due();
    assert_eq!((withdrawal.slots, withdrawal.hold), (0, false));
    desk.answer(&withdrawal, &[], &[]);
    assert!(!desk.ledger.is_drained(), "the poll may have been answered with a lease");
    desk.answer(&poll, &[], &[]);
    assert!(desk.ledger.is_drained());
}

#[test]
fn an_idle_worker_s_last_word_is_heard_before_it_ends() {
    let mut desk = Desk::new(2);
    let poll = desk.due();
    desk.ledger.drain();
    let leave = desk.due();
    desk.answer(&poll, &[], &[]);
    assert!(!desk.ledger.is_drained(), "the server still counts its slots");
    assert!(desk.next().is_none(), "once is enough");
    desk.answer(&leave, &[], &[]);
    assert!(desk.ledger.is_drained());
}

#[test]
fn a_worker_between_two_polls_takes_leave_as_well() {
    let mut desk = Desk::new(2);
    let poll = desk.due();
    desk.answer(&poll, &[], &[]);
    desk.ledger.drain();
    assert!(!desk.ledger.is_drained());
    let leave = desk.due();
    assert_eq!((leave.slots, leave.want, leave.hold), (0, 0, false));
    desk.ledger.failed(leave.flight);
    assert!(desk.ledger.is_drained(), "a server that is away is not waited for");
}

#[test]
fn an_exchange_that_is_too_large_is_cut_until_the_one_to_blame_is_alone() {
    let mut desk = Desk::holding(3, &["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        desk.finish(name);
    }
    let mut sizes = Vec::new();
    loop {
        let plan = desk.due();
        sizes.push(plan.reports.len());
        if plan.reports[0].failed.is_some() {
            break;
        }
        assert!(desk.ledger.unreadable(plan.flight, "it is nested too deeply"));
    }
    assert_eq!(sizes, [3, 1, 1], "then the first, as a failure");
}

#[test]
fn an_exchange_without_outcomes_that_cannot_be_read_is_the_worker_s_own_mistake() {
    let mut desk = Desk::new(1);
    let poll = desk.due();
    assert!(!desk.ledger.unreadable(poll.flight, "the name is malformed"));
}

#[test]
fn an_output_too_large_for_any_report_is_a_failure() {
    let mut desk = Desk::holding(1, &["a"]);
    let huge = format!("\"{}\"", "x".repeat(BATCH_BYTES_MAX));
    desk.ledger.finish(completed("a", &huge));
    let failed = desk.due().reports.remove(0).failed.expect("it is reported as a failure");
    assert_eq!(failed.class, class::OUTPUT_NOT_TAKEN);
    assert!(!failed.retryable);
}
