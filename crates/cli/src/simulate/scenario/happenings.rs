//! People who decide, and what breaks: the parts of a scenario besides arrivals and work.

use std::collections::BTreeSet;

use fairlane_api::Json;
use fairlane_core::cell::change::Snapshot;
use fairlane_core::time::Span;
use fairlane_workflow::SPAN_EXAMPLE;
use serde::Deserialize;

use super::{Range, Read, percent, some_span, span};
use crate::apply::resource::escape;
use crate::mistake::Mistake;

/// How the members of a reviewer pool work.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Reviewers {
    /// From the claim to the decision: each length between the two is as likely.
    pub(in crate::simulate) takes: Range,
    /// Of their decisions, how many in a hundred do not approve.
    #[serde(default, deserialize_with = "percent")]
    pub(in crate::simulate) rejects_percent: u32,
    /// What they fill in.
    #[serde(default)]
    pub(in crate::simulate) data: Option<Json>,
    /// When they come, after the start.
    #[serde(default, deserialize_with = "span")]
    pub(in crate::simulate) from: Span,
    /// When they go, and finish what they have begun; nothing: they stay.
    #[serde(default, deserialize_with = "some_span")]
    pub(in crate::simulate) until: Option<Span>,
}

/// Something is slower, fails, or is not there for a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Outage {
    /// What it is of: a pool, or `work`.
    #[serde(default)]
    pub(in crate::simulate) pool: Option<String>,
    /// A task, a tool or a model.
    #[serde(default)]
    pub(in crate::simulate) work: Option<String>,
    /// After the start.
    #[serde(deserialize_with = "span")]
    pub(in crate::simulate) at: Span,
    #[serde(deserialize_with = "span")]
    pub(in crate::simulate) lasts: Span,
    /// Of a pool: the slots that are left.
    #[serde(default)]
    pub(in crate::simulate) slots: Option<u32>,
    /// Of work: how long attempts take that begin meanwhile.
    #[serde(default)]
    pub(in crate::simulate) takes: Option<Range>,
    /// Of work: how many of them fail in a hundred. All, if neither this nor `takes` is said.
    #[serde(default)]
    pub(in crate::simulate) fails_percent: Option<u32>,
}

impl Reviewers {
    /// Whether they take something at that time after the start.
    pub(in crate::simulate) fn is_there(&self, at: Span) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

impl Outage {
    pub(in crate::simulate) fn is_on(&self, at: Span) -> bool {
        self.at <= at && at < self.ends()
    }

    pub(in crate::simulate) const fn ends(&self) -> Span {
        Span(self.at.0.saturating_add(self.lasts.0))
    }

    pub(in crate::simulate) fn fails_percent(&self) -> Option<u32> {
        self.fails_percent.or_else(|| self.takes.is_none().then_some(100))
    }
}

impl Read {
    pub(super) fn happenings_bounds(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (name, reviewers) in &self.scenario.reviewers {
            if reviewers.until.is_some_and(|until| until <= reviewers.from) {
                let message = "they go before they come".to_owned();
                let pointer = format!("/reviewers/{}/until", escape(name));
                mistakes.push(self.wrong(&pointer, message, "a time after `from`"));
            }
        }
        if !self.scenario.reviewers.is_empty() && self.scenario.recorded.is_some() {
            let message = "recorded reviews are decided when they were".to_owned();
            let expected = "`reviewers` with `arrivals` alone";
            mistakes.push(self.wrong("/reviewers", message, expected));
        }
        for (at, outage) in self.scenario.outages.iter().enumerate() {
            let pointer = format!("/outages/{at}");
            let mut wrong = |field: &str, message: &str, expected: &str| {
                let at = format!("{pointer}{field}");
                mistakes.push(self.wrong(&at, message.to_owned(), expected));
            };
            if outage.lasts == Span::ZERO {
                wrong("/lasts", "this is no time", SPAN_EXAMPLE);
            }
            if outage.fails_percent.is_some_and(|percent| percent > 100) {
                wrong("/fails_percent", "these are more than all", "0 to 100");
            }
            match (&outage.pool, &outage.work) {
                (Some(_), None) if outage.takes.is_some() || outage.fails_percent.is_some() => {
                    wrong("", "a pool works, or does not", "`slots`: how many are left");
                }
                (None, Some(_)) if outage.slots.is_some() => {
                    wrong("/slots", "work has no slots", "`takes` or `fails_percent`, or a `pool`");
                }
                (Some(_), None) | (None, Some(_)) => {}
                _ => wrong("", "it is not said what is out", "`pool` or `work`, one of both"),
            }
        }
        mistakes
    }

    /// What reviewers and outages name that is not declared.
    pub(super) fn check_happenings(
        &self,
        declared: &Snapshot,
        works: &BTreeSet<&str>,
    ) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for name in self.scenario.reviewers.keys() {
            if !declared.reviewer_pools.iter().any(|pool| pool.name.as_str() == name) {
                let message = format!("no reviewer pool {name} is declared");
                let pointer = format!("/reviewers/{}", escape(name));
                mistakes.push(self.wrong(&pointer, message, "one of `declare`"));
            }
        }
        for (at, outage) in self.scenario.outages.iter().enumerate() {
            if let Some(name) = &outage.pool
                && !declared.pools.iter().any(|pool| pool.name.as_str() == name)
            {
                let message = format!("no pool {name} is declared");
                let pointer = format!("/outages/{at}/pool");
                mistakes.push(self.wrong(&pointer, message, "one of `declare`"));
            }
            if let Some(name) = outage.work.as_ref().filter(|name| !works.contains(name.as_str())) {
                let message = format!("no workflow has a task, a tool or a model {name}");
                let pointer = format!("/outages/{at}/work");
                mistakes.push(self.wrong(&pointer, message, "the name of one"));
            }
        }
        mistakes
    }
}
