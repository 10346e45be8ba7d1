//! Work that the cell asks for: evaluations on payloads, and the times of schedules. Done off its thread; the
//! answers come back as inputs.

use std::sync::Arc;
use std::time::Duration;

use fairlane_core::cell::effect::{Evaluation, NextTime};
use fairlane_core::cell::input::{Evaluated, Input, Scheduled};

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
}

impl Effects {
    pub(crate) const fn new(
        assembly: Assembly,
        inbox: Arc<Inbox>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self { assembly, inbox, runtime }
    }

    pub(crate) fn evaluate(&self, evaluation: Box<Evaluation>) {
        let this = self.clone();
        self.runtime.spawn(async move {
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
        });
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
