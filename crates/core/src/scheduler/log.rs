//! What the queue has to say about caps and bursts (P18): nothing is raised silently.

use serde::Serialize;

use super::config::TenantIx;

/// Entries kept between two calls of `take_log`; further ones are dropped, and counted.
pub(crate) const LOG_MAX: usize = 10_000;

/// Something that the tenant and the operator should be able to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    pub tenant: TenantIx,
    pub event: Event,
}

/// The facts; the sentence is written at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum Event {
    /// Steps wait although slots may be free; once for each time that the tenant begins to wait.
    CapReached {
        cap: u32,
    },
    BurstGranted {
        extra_slots: u32,
        credit_us: u64,
    },
    /// The credit is used up: the tenant waits until it owes nothing.
    BurstSpent {
        debt_us: u64,
    },
    BurstPaidBack {
        debt_us: u64,
    },
    /// Too much of its service is urgent: its urgent steps count as normal for now.
    UrgentShareExceeded {
        share_permille: u32,
    },
}

impl Logged {
    pub const fn tenant(&self) -> TenantIx {
        self.tenant
    }

    pub const fn facts(&self) -> &Event {
        &self.event
    }

    /// Stable code of the event.
    pub const fn code(&self) -> &'static str {
        match self.event {
            Event::CapReached { .. } => "cap-reached",
            Event::BurstGranted { .. } => "burst-granted",
            Event::BurstSpent { .. } => "burst-spent",
            Event::BurstPaidBack { .. } => "burst-paid-back",
            Event::UrgentShareExceeded { .. } => "urgent-share-exceeded",
        }
    }
}
