//! Work that the cell asks for: evaluations on payloads, and the times of schedules. Done off its thread; the
//! answers come back as inputs.

use std::sync::Arc;
use std::time::Duration;

use fairlane_core::cell::effect::{Evaluation, NextTime};
use fairlane_core::cell::input::{Evaluated, Input, Scheduled};
use tracing::Instrument;

use crate::access;
use crate::assembly::{Assembly, Unassembled};
use crate::engine::Message;
use crate::engine::inbox::Inbox;

/// Waits between attempts while the store does not answer.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct Effects {
    assembly: Assembly,
    inbox: Arc<Inbox>,
    runtime: tokio::runtime::Handle,
    /// See [`Surroundings::names_runs`](crate::serve::Surroundings::names_runs).
    names_runs: bool,
}

impl Effects {
    pub(crate) const fn new(
        assembly: Assembly,
        inbox: Arc<Inbox>,
        runtime: tokio::runtime::Handle,
        names_runs: bool,
    ) -> Self {
        Self { assembly, inbox, runtime, names_runs }
    }

    pub(crate) fn evaluate(&self, evaluation: Box<Evaluation>) {
        let this = self.clone();
        let span = access::of_run(self.names_runs, &evaluation.key, None);
        let evaluated = async move {
            let mut wait = RETRY_MIN;
            let result = loop {
                match this.assembly.evaluate(&evaluation).await {
                    Ok(value) => break Ok(value),
                    Err(Unassembled::Failed(failure)) => break Err(failure),
                    Err(Unassembled::Unavailable) if this.inbox.is_closed() => return,
                    Err(Unassembled::Unavailable) => tokio::time::sleep(wait).await,
                }
                wait = (wait * 2).min(RETRY_MAX);
            };
            let Evaluation { key, instance, round, .. } = *evaluation;
            let answer = Evaluated { key, instance, round, result };
            this.inbox.force(Message::Note(Input::Evaluated(answer)));
        };
        self.runtime.spawn(evaluated.instrument(span));
    }

    pub(crate) fn next_time(&self, asked: Box<NextTime>) {
        let inbox = self.inbox.clone();
        // A pattern that hardly ever matches is searched for long.
        self.runtime.spawn_blocking(move || {
            let NextTime { schedule, round, cron, time_zone, after } = *asked;
            let next = fairlane_workflow::next_fire(&cron, &time_zone, after);
            inbox.force(Message::Note(Input::Scheduled(Scheduled { schedule, round, next })));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::reads::Reads;
    use crate::registry::Registry;
    use fairlane_core::cell::change::Snapshot;
    use fairlane_core::cell::effect::Question;
    use fairlane_core::id::RunId;
    use fairlane_core::plan::{StepIndex, Workflow};
    use fairlane_core::row::{Instance, Part, RunKey};
    use fairlane_core::tenant::Context;
    use fairlane_store::memory::{Disk, MemoryStore};

    fn workflow() -> Arc<Workflow> {
        let text = "{\"workflow\":\"w\",\"version\":1,\"steps\":{\"a\":{\"task\":\"t\"}}}";
        let source =
            fairlane_workflow::Source { text, format: fairlane_workflow::Format::Json, file: "" };
        let known = fairlane_workflow::Known::default();
        Arc::new(fairlane_workflow::parse(&source, &known, &fairlane_workflow::no_files).unwrap())
    }

    fn context() -> Arc<Context> {
        Arc::new(Context {
            review_class: 4,
            reviewer_pool: None,
            version: 1,
            tenant: "a".parse().unwrap(),
            org: "o".parse().unwrap(),
            tier: "t".parse().unwrap(),
            weight: 1,
            cap: 1,
            burst: None,
            urgent_share_permille: 0,
            runs_max: 1,
            sla: None,
            budget_class: None,
            suspended: false,
            rules: fairlane_core::tenant::Rules::default(),
            rules_since: 1,
            attributes: Arc::from("{}"),
        })
    }

    #[tokio::test]
    async fn an_evaluation_that_panics_is_answered_by_a_failure() {
        let reads = Reads::new(&MemoryStore::open(&Disk::default())).unwrap();
        let snapshot = Snapshot::default();
        let registry = Arc::new(Registry::new(&snapshot));
        let reads = (reads, snapshot.all_tenants());
        let assembly = Assembly::new(registry, Arc::new(Cache::new(0)), reads);
        let inbox = Arc::new(Inbox::default());
        let effects =
            Effects::new(assembly, inbox.clone(), tokio::runtime::Handle::current(), true);
        effects.evaluate(Box::new(Evaluation {
            key: RunKey { tenant: "a".parse().unwrap(), run: RunId(1) },
            // The workflow has no such step, which the evaluation takes for granted.
            instance: Instance { step: StepIndex(7), part: Part::Whole },
            round: 3,
            workflow: workflow(),
            context: context(),
            what: Question::ChildInput,
        }));
        let answers = tokio::task::spawn_blocking(move || {
            let mut messages = Vec::new();
            let _ = inbox.take(&mut messages, None);
            messages
        });
        match &answers.await.unwrap()[..] {
            [
                Message::Note(Input::Evaluated(Evaluated {
                    round: 3, result: Err(failure), ..
                })),
            ] => {
                assert_eq!(&*failure.class, "internal");
            }
            other => panic!("{other:?}"),
        }
    }
}
