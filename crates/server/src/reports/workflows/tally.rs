//! Counts runs by workflow and version. It reads no store.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fairlane_api::report::ShortWorkflow;
use fairlane_core::id::{RunId, WorkflowName};
use fairlane_core::quota::Rung;
use fairlane_core::row::RunRow;
use fairlane_store::DecisionRow;
use serde::Deserialize;

use super::super::permille;

/// The class of failure of a run that could not pay for a step.
const EXHAUSTED: &str = "budget-exhausted";

/// What became of a run whose money was short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) is_halted: bool,
    pub(super) is_degraded: bool,
}

impl Shortage {
    pub(super) fn join(&mut self, other: Self) {
        self.is_halted |= other.is_halted;
        self.is_degraded |= other.is_degraded;
    }
}

/// The run that a decision is about, if it says that money was short.
pub(super) fn shortage(DecisionRow { decision, .. }: &DecisionRow) -> Option<(RunId, Shortage)> {
    #[derive(Deserialize)]
    struct Facts {
        run: RunId,
        rung: Rung,
    }
    if !matches!(&*decision.code, "budget-short" | "degraded") {
        return None;
    }
    // A call through the gateway has a rung, and no run if it is the tenant's own.
    let Facts { run, rung } = serde_json::from_str(&decision.facts).ok()?;
    let of = match rung {
        Rung::Escalate | Rung::Pause => Shortage { is_halted: true, is_degraded: false },
        Rung::CheaperModel | Rung::ShorterOutput | Rung::SkipOptional => {
            Shortage { is_halted: false, is_degraded: true }
        }
        // The run's own failure says so, if the run failed of it.
        Rung::Fail => Shortage::default(),
    };
    Some((run, of))
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: BTreeMap<(WorkflowName, u32), Counts>,
    pub(super) is_cut: bool,
}

#[derive(Debug, Default)]
struct Counts {
    runs: u64,
    short: u64,
    halted: u64,
    failed: u64,
    degraded: u64,
    /// What each run with a limit has spent of it, in thousandths.
    spent: Vec<u64>,
}

impl Tally {
    /// Counts a run, if it has ended.
    pub(super) fn add(&mut self, run: &RunRow, short: Shortage) {
        if run.ended.is_none() {
            return;
        }
        let counts = self.counts.entry((run.workflow.clone(), run.version)).or_default();
        let is_failed = run.failure.as_ref().is_some_and(|failure| &*failure.class == EXHAUSTED);
        counts.runs += 1;
        counts.short += u64::from(is_failed || short.is_halted || short.is_degraded);
        counts.halted += u64::from(short.is_halted);
        counts.failed += u64::from(is_failed);
        counts.degraded += u64::from(short.is_degraded);
        let limit = run.money.limit.and_then(|limit| permille(run.money.posted.0, limit.0));
        counts.spent.extend(limit);
    }

    /// The largest share first, then the most runs, then by name.
    pub(super) fn report(self) -> Vec<ShortWorkflow> {
        let mut found: Vec<ShortWorkflow> =
            self.counts.into_iter().map(|(of, counts)| counts.report(&of)).collect();
        // Stable: what is equal stays in the order of names and versions.
        found.sort_by_key(|of| Reverse((of.short_permille, of.runs)));
        found
    }
}

impl Counts {
    fn report(mut self, (workflow, version): &(WorkflowName, u32)) -> ShortWorkflow {
        self.spent.sort_unstable();
        let middle = self.spent.len().saturating_sub(1) / 2;
        ShortWorkflow {
            workflow: workflow.to_string(),
            version: *version,
            runs: self.runs,
            short: self.short,
            short_permille: permille(self.short, self.runs).unwrap_or_default(),
            halted: self.halted,
            failed: self.failed,
            degraded: self.degraded,
            bounded: self.spent.len() as u64,
            median_spent_permille: self.spent.get(middle).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fairlane_core::id::TenantId;
    use fairlane_core::money::Nano;
    use fairlane_core::row::{Failure, Lane, RunKey, RunMoney, RunStatus};
    use fairlane_core::time::Time;

    use super::*;

    fn run(workflow: &str, id: u128, spent_cents: u64, limit_cents: Option<u64>) -> RunRow {
        RunRow {
            subject: None,
            trace: None,
            is_bare: false,
            requester: None,
            key: RunKey { tenant: TenantId::parse("a").unwrap(), run: RunId(id) },
            workflow: WorkflowName::parse(workflow).unwrap(),
            version: 1,
            context: 1,
            lane: Lane::Normal,
            status: RunStatus::Completed,
            outcome: None,
            created: Time(1),
            ended: Some(Time(2)),
            deadline: None,
            failure: None,
            parent: None,
            schedule: None,
            revision: 1,
            input_bytes: 0,
            replans: 0,
            money: RunMoney {
                limit: limit_cents.map(Nano::from_cents),
                posted: Nano::from_cents(spent_cents),
                ..RunMoney::default()
            },
            input: None,
        }
    }

    fn decision(code: &'static str, facts: &str) -> DecisionRow {
        let (at, facts) = (Time(1), Arc::from(facts));
        let decision =
            fairlane_core::row::Decision { tenant: None, at, code: code.into(), by: None, facts };
        DecisionRow { sequence: 1, decision }
    }

    #[test]
    fn decisions_say_what_became_of_which_run() {
        let run = RunId(7 << 80);
        let of = |code, rung: &str| {
            shortage(&decision(
                code,
                &format!(r#"{{"run": "{run}", "step": "s", "rung": "{rung}"}}"#),
            ))
        };
        let [halted, degraded, neither] = [(true, false), (false, true), (false, false)]
            .map(|(is_halted, is_degraded)| Some((run, Shortage { is_halted, is_degraded })));
        assert_eq!(of("budget-short", "pause"), halted);
        assert_eq!(of("budget-short", "escalate"), halted);
        assert_eq!(of("budget-short", "skip_optional"), degraded);
        assert_eq!(of("degraded", "cheaper_model"), degraded);
        assert_eq!(of("degraded", "shorter_output"), degraded);
        assert_eq!(of("budget-short", "fail"), neither);
        assert_eq!(of("cap-reached", "pause"), None);
        assert_eq!(shortage(&decision("degraded", r#"{"rung": "cheaper_model"}"#)), None);
    }

    #[test]
    fn each_run_that_was_short_counts_once_however_often_it_was() {
        let mut tally = Tally::default();
        let both = Shortage { is_halted: true, is_degraded: true };
        let class = EXHAUSTED.into();
        let failure = Some(Failure { class, message: "".into(), step: None });
        tally.add(&RunRow { failure, ..run("loan", 1, 50, Some(50)) }, both);
        tally.add(&run("loan", 2, 10, Some(50)), Shortage::default());
        tally.add(&RunRow { ended: None, ..run("loan", 3, 0, Some(50)) }, both);
        let [loan] = &tally.report()[..] else { panic!("one workflow") };
        assert_eq!((loan.runs, loan.short, loan.short_permille), (2, 1, 500));
        assert_eq!((loan.halted, loan.failed, loan.degraded), (1, 1, 1));
    }

    #[test]
    fn the_median_is_of_runs_with_a_limit_and_the_lower_of_two() {
        let mut tally = Tally::default();
        for (id, spent, limit) in [
            (1, 50, Some(50)),
            (2, 10, Some(50)),
            (3, 7, None),
            (4, 30, Some(50)),
            (5, 40, Some(50)),
        ] {
            tally.add(&run("loan", id, spent, limit), Shortage::default());
        }
        tally.add(&run("free", 6, 9, None), Shortage::default());
        let [loan, free] = &tally.report()[..] else { panic!("two workflows") };
        assert_eq!((loan.bounded, loan.median_spent_permille), (4, Some(600)));
        assert_eq!((free.bounded, free.median_spent_permille), (0, None));
    }

    #[test]
    fn the_largest_share_comes_first_then_the_most_runs_then_the_name() {
        let mut tally = Tally::default();
        let halted = Shortage { is_halted: true, is_degraded: false };
        for (workflow, count, short) in
            [("a", 2, 0), ("b", 2, 1), ("c", 4, 2), ("d", 1, 1), ("e", 2, 0)]
        {
            for at in 0..count {
                let of = if at < short { halted } else { Shortage::default() };
                tally.add(&run(workflow, at, 1, None), of);
            }
        }
        let names: Vec<String> = tally.report().into_iter().map(|of| of.workflow).collect();
        assert_eq!(names, ["d", "c", "b", "a", "e"]);
    }
}
