//! Runs as they came and what they took, without what they were given and what they gave: what can be played again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::quota::Amount;
use crate::run::{Lane, RunStatus};
use crate::usage::Tokens;
use crate::view::{Part, Phase};

/// A run, when it came, and what each of its steps took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Arrival {
    pub run: String,
    pub workflow: String,
    pub version: u32,
    pub lane: Lane,
    pub status: RunStatus,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who called it. Absent: it came from outside, or from a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Caller>,
    pub spent: Amount,
    /// Its plan was changed under way: its steps are not those of its workflow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replanned: bool,
    /// Its steps were kept for their time, and are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payloads_expired: bool,
    /// Those that have begun or were skipped.
    pub steps: Vec<StepTaken>,
}

/// The step whose child a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Caller {
    pub run: String,
    pub step: String,
    pub part: Part,
}

/// What an instance of a step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepTaken {
    pub name: String,
    pub part: Part,
    pub phase: Phase,
    /// When it first could begin.
    pub ready_at: Timestamp,
    /// When it entered the phase: of a step that has ended, its end.
    pub since: Timestamp,
    /// How long each attempt held its slot, the oldest first, those that failed included. Of more than 16, the last is the sum
    /// of the rest. The time of a dispatch that was lost, which is no attempt, is part of the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worked_us: Vec<u64>,
    /// Of its last call of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}
