//! How a pool's queue is set up, and the small types that its face speaks.

use crate::time::Span;

/// An organisation, by the number that the owner of the queue gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgIx(pub u32);

/// A tenant, by the number that the owner of the queue gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantIx(pub u32);

/// One ready or running step; opaque to the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Priority inside a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Urgent,
    Normal,
    Background,
}

impl Lane {
    pub(crate) const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Background];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    pub slots: u32,
    pub policy: Policy,
    /// Slot time charged at dispatch, before the real use is known.
    pub quantum: Span,
    pub long: Option<LongClass>,
    /// Most slot time that all bursts under way may be ahead together.
    pub burst_max: Span,
    /// A lane that was not served for this long, while it waits, is served once before the lanes above it.
    pub age_guard: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Weighted fair queueing over the tree, caps, lanes and burst.
    #[default]
    Fair,
    /// The oldest run first, whoever's it is.
    Fifo,
    /// One step of each tenant in turn; no caps, no lanes, no organisations.
    RoundRobin,
    /// Weighted fair queueing over the tree; no caps, no lanes.
    Weighted,
}

/// Steps whose expected duration is above `over` are long; all of them together hold at most this part of the slots, in
/// thousandths, and at least one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongClass {
    pub over: Span,
    pub share_permille: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgConfig {
    /// At least 1.
    pub weight: u32,
    pub cap: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantConfig {
    pub org: OrgIx,
    /// At least 1.
    pub weight: u32,
    pub cap: u32,
    pub burst: Option<Burst>,
    /// Part of the tenant's service that urgent steps may take, in thousandths.
    pub urgent_share_permille: u32,
    /// Nothing of the tenant is dispatched.
    pub paused: bool,
}

/// Permission to exceed the cap, paid back by waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    pub extra_slots: u32,
    /// Slot time that may be used ahead of the share.
    pub credit: Span,
}

/// A ready step, and where it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub tenant: TenantIx,
    pub lane: Lane,
    /// Steps of one class would meet the same gates.
    pub class: u64,
    /// Age of its run: the smaller, the older.
    pub age: u64,
    pub ticket: Ticket,
    /// Expected duration, for the slot class.
    pub expected: Span,
}

/// What the gates are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub ticket: Ticket,
    pub tenant: TenantIx,
    pub lane: Lane,
    pub class: u64,
}

/// What the gates answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateAnswer {
    Pass,
    /// The whole class waits outside the queue until this key is woken.
    Park(u64),
    /// This step alone cannot go on: it leaves the queue, and whoever answers so knows what becomes of it.
    Aside,
}

/// A step that was given a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch {
    pub ticket: Ticket,
    pub tenant: TenantIx,
}
