//! The gates that a step passes before it is dispatched, and what each can answer.
//!
//! Order: route, policy, budget, limit, slot. They are tried without waiting, all or nothing, at the moment
//! when a slot would be given. A refusal parks the step's gate class under a [`WakeKey`]; each is data, and the
//! sentence is written at the edge. The same values feed the explain API, metrics, the decision log and tests.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ModelName, PoolName, ToolName};
use crate::money::Nano;
use crate::policy::Because;
use crate::residency::Outside;
use crate::router::{NoWay, Passed};
use crate::time::Time;

/// A check before dispatch, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    Route,
    Policy,
    Budget,
    Limit,
    Slot,
}

/// What ends a wait at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WakeKey(pub u64);

/// The answer of one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// The class waits outside the queue until the key is woken.
    Park {
        refusal: Refusal,
        wake: WakeKey,
    },
    /// This step alone cannot go on: it leaves the queue, and its run's policy says what becomes of it.
    Aside(Refusal),
}

/// Why a gate did not let a step through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No candidate of the model can serve the call.
    Route { model: ModelName, because: NoWay, passed: Vec<Passed> },
    /// The step's tool is outside of where the tenant's data may be.
    Outside { tool: ToolName, outside: Outside },
    /// The tenant may not use the step's tool.
    Denied { tool: ToolName },
    /// A policy forbids it.
    Policy { policy: Arc<str>, because: Because },
    /// An account cannot hold the estimate.
    Budget { account: Account, need: Nano, left: Nano, opens: Option<Time> },
    /// A quota is used up until it turns, or others of the same provider come first.
    Limit {
        tool: ToolName,
        holder: LimitHolder,
        rule: Arc<str>,
        used: u64,
        of: u64,
        opens: Option<Time>,
        /// More is asked for than the rule ever allows at once.
        is_never: bool,
    },
    /// No worker of the pool is asking for work.
    NoWorker { pool: PoolName },
    /// The pool's scheduler has not chosen it yet.
    Slot(crate::scheduler::Wait),
}

impl Refusal {
    /// The gate that gave it.
    pub const fn gate(&self) -> Gate {
        match self {
            Self::Route { .. } | Self::Outside { .. } => Gate::Route,
            Self::Denied { .. } | Self::Policy { .. } => Gate::Policy,
            Self::Budget { .. } => Gate::Budget,
            Self::Limit { .. } => Gate::Limit,
            Self::NoWorker { .. } | Self::Slot(_) => Gate::Slot,
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitHolder {
    /// The tenant's own quota.
    Tenant,
    /// What all tenants share.
    Provider,
}

impl Account {
    /// Stable, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::TenantDay => "tenant_day",
            Self::TenantMonth => "tenant_month",
            Self::OrgMonth => "org_month",
        }
    }
}

/// An account of the ledger, as refusals name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    Run,
    TenantDay,
    TenantMonth,
    OrgMonth,
}
