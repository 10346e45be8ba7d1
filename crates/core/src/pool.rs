//! Pools of worker slots, and the platform's own bounds, as the operator declares them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::{PoolName, TaskName};
use crate::time::Span;

/// Most slots in one pool.
pub const SLOTS_MAX: u32 = 1_000_000;

/// A set of worker slots of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub name: PoolName,
    pub slots: u32,
    pub policy: Policy,
    /// What a dispatch is charged before its real use is known.
    pub quantum: Span,
    pub long: Option<LongSteps>,
    /// A lease not renewed by a heartbeat for this long is lost.
    pub lease: Span,
    /// After waiting this long a step of a lower lane gets a turn before higher ones.
    pub age_guard: Span,
    /// Sum of the burst credits that may be in use at once.
    pub burst_credit_max: Span,
    /// The tasks that its workers know. Absent: any task is accepted.
    pub tasks: Option<BTreeSet<TaskName>>,
}

/// How a pool shares its slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Hierarchical start-time fair queueing with caps, lanes and burst.
    #[default]
    Fair,
    /// First in, first out over all tenants, no caps.
    Fifo,
    /// One step per tenant in turn, no caps.
    RoundRobin,
    /// Weighted between tenants; no caps, no lanes.
    Weighted,
}

/// Bounds the part of the pool that long steps may hold, so that short ones never wait for all slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongSteps {
    /// A step is long if its expected duration is above this.
    pub over: Span,
    /// Part of the slots, in thousandths; at least one slot.
    pub share_permille: u32,
}

/// The valve's thresholds. Past `soft` the over-demanding are refused first, past `hard` everyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Valve {
    pub runs_soft: u64,
    pub runs_hard: u64,
    pub bytes_soft: u64,
    pub bytes_hard: u64,
    /// When a commit takes longer than this, fewer slots are dispatchable.
    pub commit_slow: Span,
}

impl Default for Valve {
    fn default() -> Self {
        Self {
            runs_soft: 1_000_000,
            runs_hard: 2_000_000,
            bytes_soft: 4 << 30,
            bytes_hard: 8 << 30,
            commit_slow: Span::from_secs(1),
        }
    }
}
