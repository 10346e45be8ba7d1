//! Between rows and columns: text codes, JSON details, ids as bytes, and what is wrong with a column.
//!
//! The codes are part of the file format: people and their SQL read them, so they never change.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fairlane_core::id::{PoolName, ReviewId, RunId, SignalName, WorkerName};
use fairlane_core::replan::{Confidence, Trigger, Trust};
use fairlane_core::row::{Failure, Hold, Lane, Route, RunStatus, StepState};
use fairlane_core::time::Time;
use rusqlite::types::{FromSql, ValueRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::seal::{RootError, RootId};

/// What can go wrong inside a statement; the boundary of the module adds the path and the action.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// A column holds what no version of this program wrote.
    Column(String),
    Missing(String),
    /// What is sealed does not open here.
    Sealed(String),
    /// A key was wrapped by a root key that the server does not have.
    UnknownRoot(RootId),
    Root(RootError),
    /// The list of erasures beside the file.
    List(std::path::PathBuf, std::io::Error),
}

impl From<RootError> for Fault {
    fn from(error: RootError) -> Self {
        Self::Root(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn strange(what: &str, found: impl fmt::Display) -> Fault {
    Fault::Column(format!("{found} is no {what}"))
}

/// Integers keep their bits, so that all 64 come back; columns of times and counters stay readable below 2^63.
pub(super) const fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(super) const fn id_bytes(run: RunId) -> [u8; 16] {
    run.0.to_be_bytes()
}

/// A row of a result, read by position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'r, 's>(pub(super) &'r rusqlite::Row<'s>);

impl<'r> Columns<'r, '_> {
    pub(super) fn text(self, at: usize) -> Result<&'r str, Fault> {
        self.optional_text(at)?.ok_or_else(|| strange("text", "NULL"))
    }

    pub(super) fn optional_text(self, at: usize) -> Result<Option<&'r str>, Fault> {
        match self.0.get_ref(at)? {
            ValueRef::Null => Ok(None),
            value => value.as_str().map(Some).map_err(|error| strange("text", error)),
        }
    }

    pub(super) fn number<T: FromSql>(self, at: usize) -> Result<T, Fault> {
        Ok(self.0.get(at)?)
    }

    pub(super) fn unsigned(self, at: usize) -> Result<u64, Fault> {
        Ok(self.0.get::<_, i64>(at)?.cast_unsigned())
    }

    pub(super) fn time(self, at: usize) -> Result<Time, Fault> {
        self.unsigned(at).map(Time)
    }

    pub(super) fn optional_time(self, at: usize) -> Result<Option<Time>, Fault> {
        Ok(self.0.get::<_, Option<i64>>(at)?.map(|time| Time(time.cast_unsigned())))
    }

    pub(super) fn bytes(self, at: usize) -> Result<Arc<[u8]>, Fault> {
        self.optional_bytes(at)?.ok_or_else(|| strange("payload", "NULL"))
    }

    pub(super) fn blob(self, at: usize) -> Result<&'r [u8], Fault> {
        self.0.get_ref(at)?.as_blob().map_err(|error| strange("bytes", error))
    }

    pub(super) fn optional_bytes(self, at: usize) -> Result<Option<Arc<[u8]>>, Fault> {
        match self.0.get_ref(at)? {
            ValueRef::Null => Ok(None),
            value => value
                .as_bytes()
                .map(|bytes| Some(Arc::from(bytes)))
                .map_err(|error| strange("payload", error)),
        }
    }

    pub(super) fn digest(self, at: usize) -> Result<[u8; 32], Fault> {
        Ok(self.0.get(at)?)
    }

    pub(super) fn optional_id(self, at: usize) -> Result<Option<[u8; 16]>, Fault> {
        Ok(self.0.get(at)?)
    }

    pub(super) fn run_id(self, at: usize) -> Result<RunId, Fault> {
        Ok(RunId(u128::from_be_bytes(self.0.get(at)?)))
    }

    pub(super) fn optional_run_id(self, at: usize) -> Result<Option<RunId>, Fault> {
        let bytes: Option<[u8; 16]> = self.0.get(at)?;
        Ok(bytes.map(|bytes| RunId(u128::from_be_bytes(bytes))))
    }

    pub(super) fn name<T: FromStr<Err: fmt::Display>>(self, at: usize) -> Result<T, Fault> {
        name(self.text(at)?)
    }

    pub(super) fn optional_name<T: FromStr<Err: fmt::Display>>(
        self,
        at: usize,
    ) -> Result<Option<T>, Fault> {
        self.optional_text(at)?.map(name).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(self, at: usize) -> Result<T, Fault> {
        from_json(self.text(at)?)
    }

    pub(super) fn optional_json<T: DeserializeOwned>(self, at: usize) -> Result<Option<T>, Fault> {
        self.optional_text(at)?.map(from_json).transpose()
    }
}

pub(super) fn name<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| Fault::Column(format!("the name {text:?} {error}")))
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Column(format!("{error} in {text}")))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("rows have string keys only, and nothing in them fails")
}

/// Names that come again and again share one allocation.
#[derive(Debug)]
pub(super) struct Names<T> {
    known: BTreeMap<Box<str>, T>,
    last: Option<(Box<str>, T)>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), last: None }
    }
}

impl<T: Clone + FromStr<Err: fmt::Display>> Names<T> {
    pub(super) fn get(&mut self, text: &str) -> Result<T, Fault> {
        if let Some((last, value)) = &self.last
            && **last == *text
        {
            return Ok(value.clone());
        }
        let value = if let Some(value) = self.known.get(text) {
            value.clone()
        } else {
            let value: T = name(text)?;
            self.known.insert(Box::from(text), value.clone());
            value
        };
        self.last = Some((Box::from(text), value.clone()));
        Ok(value)
    }
}

pub(super) const fn lane_code(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Normal => "normal",
        Lane::Background => "background",
    }
}

pub(super) fn lane(code: &str) -> Result<Lane, Fault> {
    [Lane::Urgent, Lane::Normal, Lane::Background]
        .into_iter()
        .find(|lane| lane_code(*lane) == code)
        .ok_or_else(|| strange("lane", code))
}

pub(super) const fn status_code(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Paused => "paused",
        RunStatus::Stopping => "stopping",
        RunStatus::Compensating => "compensating",
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
    }
}

pub(super) fn status(code: &str) -> Result<RunStatus, Fault> {
    use RunStatus::{Cancelled, Compensating, Completed, Failed, Paused, Running, Stopping};
    [Running, Paused, Stopping, Compensating, Completed, Failed, Cancelled]
        .into_iter()
        .find(|status| status_code(*status) == code)
        .ok_or_else(|| strange("status", code))
}

/// The facts of a step's state beside its code, as a JSON object; each state has some of them. A failure stands apart: it says
/// what a worker said, and is sealed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<WorkerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<SignalName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<ReviewId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Box<Hold>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Box<Route>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<Trigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<Confidence>,
    /// Of any state; `None`: derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<Trust>,
}

pub(super) fn state_columns(
    state: &StepState,
    trust: Trust,
) -> (&'static str, Option<String>, Option<&Failure>) {
    let trust = (trust != Trust::default()).then_some(trust);
    // Most rows are of steps that are done, and have no detail.
    let bare = |code| (code, trust.map(|_| to_json(&Detail { trust, ..Detail::default() })), None);
    let (code, detail) = match state.clone() {
        StepState::Ready => return bare("ready"),
        StepState::Proposed => return bare("proposed"),
        StepState::Done => return bare("done"),
        StepState::Skipped => return bare("skipped"),
        StepState::Cancelled => return bare("cancelled"),
        StepState::Leased { worker, pool, until, hold, route } => (
            "leased",
            Detail {
                worker: Some(worker),
                pool: Some(pool),
                until: Some(until),
                hold,
                route,
                ..Detail::default()
            },
        ),
        StepState::Backoff { until, failure: _ } => {
            ("backoff", Detail { until: Some(until), ..Detail::default() })
        }
        StepState::Sleeping { until } => {
            ("sleeping", Detail { until: Some(until), ..Detail::default() })
        }
        StepState::Listening { signal } => {
            ("listening", Detail { signal: Some(signal), ..Detail::default() })
        }
        StepState::Calling { child } => {
            ("calling", Detail { child: Some(child), ..Detail::default() })
        }
        StepState::Reviewing { review } => {
            ("reviewing", Detail { review: Some(review), ..Detail::default() })
        }
        StepState::Mapping { items } => {
            ("mapping", Detail { items: Some(items), ..Detail::default() })
        }
        StepState::Failed { failure: _ } => ("failed", Detail::default()),
        StepState::Disputed { trigger, failure: _, doubt } => {
            ("disputed", Detail { trigger: Some(trigger), doubt, ..Detail::default() })
        }
    };
    let text = to_json(&Detail { trust, ..detail });
    let failure = match state {
        StepState::Backoff { failure, .. }
        | StepState::Failed { failure }
        | StepState::Disputed { failure, .. } => Some(failure),
        _ => None,
    };
    (code, (text != "{}").then_some(text), failure)
}

pub(super) fn state(
    code: &str,
    detail: Option<&str>,
    failure: Option<Failure>,
) -> Result<(StepState, Trust), Fault> {
    let detail: Detail = detail.map(from_json).transpose()?.unwrap_or_default();
    let incomplete = || strange("state with all its details", code);
    let trust = detail.trust.unwrap_or_default();
    let state = match code {
        "ready" => StepState::Ready,
        "done" => StepState::Done,
        "skipped" => StepState::Skipped,
        "cancelled" => StepState::Cancelled,
        "leased" => StepState::Leased {
            worker: detail.worker.ok_or_else(incomplete)?,
            pool: detail.pool.ok_or_else(incomplete)?,
            until: detail.until.ok_or_else(incomplete)?,
            hold: detail.hold,
            route: detail.route,
        },
        "backoff" => StepState::Backoff {
            until: detail.until.ok_or_else(incomplete)?,
            failure: failure.ok_or_else(incomplete)?,
        },
        "sleeping" => StepState::Sleeping { until: detail.until.ok_or_else(incomplete)? },
        "listening" => StepState::Listening { signal: detail.signal.ok_or_else(incomplete)? },
        "calling" => StepState::Calling { child: detail.child.ok_or_else(incomplete)? },
        "reviewing" => StepState::Reviewing { review: detail.review.ok_or_else(incomplete)? },
        "mapping" => StepState::Mapping { items: detail.items.ok_or_else(incomplete)? },
        "failed" => StepState::Failed { failure: failure.ok_or_else(incomplete)? },
        "proposed" => StepState::Proposed,
        "disputed" => StepState::Disputed {
            trigger: detail.trigger.ok_or_else(incomplete)?,
            failure: failure.ok_or_else(incomplete)?,
            doubt: detail.doubt,
        },
        other => return Err(strange("state of a step", other)),
    };
    Ok((state, trust))
}
