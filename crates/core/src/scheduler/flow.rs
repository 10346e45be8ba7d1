//! One level of the fair queue: flows with start tags, and the ordered set of those that can be chosen.

use std::collections::BTreeSet;

use crate::time::Span;

/// Slot-microseconds are scaled by this before they are divided by a weight, so that the rest lost to integer
/// division is below a millionth of a microsecond for any weight.
pub(crate) const SCALE: u128 = 1 << 20;

/// Normalised service: slot-microseconds times [`SCALE`] over weight.
pub(crate) type Tag = u128;

/// Which of a level's two orders: all eligible flows, or those that have a short step to give.
pub(crate) const ANY: usize = 0;
pub(crate) const SHORT: usize = 1;

/// A place in the order: smallest tag first, then the order of activation, then the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) tag: Tag,
    pub(crate) activated: u64,
    pub(crate) flow: u32,
}

/// What a flow is to the level above it.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    /// S: normalised service, raised to the level's virtual time whenever the flow turns eligible.
    pub(crate) start: Tag,
    /// Slot time by which the flow is preferred while it bursts.
    pub(crate) credit: Span,
    pub(crate) in_flight: u32,
    /// Its keys in the orders of the level above, where it stands in them.
    pub(crate) keys: [Option<Key>; 2],
}

/// A node that chooses among flows.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// V: never falls.
    pub(crate) virtual_time: Tag,
    /// The highest start tag that any flow ever had: where V goes when nobody is eligible. Never falls.
    pub(crate) start_max: Tag,
    eligible: [BTreeSet<Key>; 2],
    activations: u64,
}

pub(crate) fn normalise(used: Span, weight: u32) -> Tag {
    u128::from(used.0) * SCALE / u128::from(weight)
}

/// Slot time that a difference of tags stands for, for a flow of that weight.
pub(crate) fn slot_time(tag: Tag, weight: u32) -> u128 {
    tag * u128::from(weight) / SCALE
}

impl Share {
    pub(crate) const fn new(weight: u32) -> Self {
        Self { weight, start: 0, credit: Span::ZERO, in_flight: 0, keys: [None; 2] }
    }

    /// The tag by which it is ordered: its start tag, less the burst credit.
    pub(crate) fn tag(&self) -> Tag {
        self.start.saturating_sub(normalise(self.credit, self.weight))
    }

    pub(crate) const fn is_eligible(&self) -> bool {
        self.keys[ANY].is_some()
    }
}

impl Level {
    pub(crate) fn is_empty(&self, order: usize) -> bool {
        self.eligible[order].is_empty()
    }

    pub(crate) fn first(&self, order: usize) -> Option<u32> {
        self.eligible[order].first().map(|key| key.flow)
    }

    /// How many flows stand before a tag, counted up to `most`.
    pub(crate) fn ahead_of(&self, tag: Tag, most: usize) -> usize {
        self.eligible[ANY].iter().take(most).take_while(|key| key.tag < tag).count()
    }

    /// Puts the flow into the orders that it belongs to now, out of those that it does not, and moves it if its tag
    /// changed. A flow that turns eligible starts no earlier than the level's virtual time: whatever kept it away
    /// (nothing to do, a cap, a pause, a gate) has earned it nothing.
    pub(crate) fn place(&mut self, flow: u32, share: &mut Share, belongs: [bool; 2]) {
        if belongs[ANY] && !share.is_eligible() {
            self.activate(share);
        }
        for order in [ANY, SHORT] {
            let wanted = belongs[order].then(|| Key {
                tag: share.tag(),
                activated: share.keys[order].map_or(self.activations, |key| key.activated),
                flow,
            });
            if wanted == share.keys[order] {
                continue;
            }
            if let Some(old) = share.keys[order] {
                let was_there = self.eligible[order].remove(&old);
                assert!(was_there, "flow {flow} was not where its key says: {old:?}");
            }
            if let Some(new) = wanted {
                self.eligible[order].insert(new);
            }
            share.keys[order] = wanted;
        }
    }

    fn activate(&mut self, share: &mut Share) {
        let now = self.eligible[ANY].first().map_or(self.start_max, |key| key.tag);
        self.virtual_time = self.virtual_time.max(now);
        share.start = share.start.max(self.virtual_time);
        self.start_max = self.start_max.max(share.start);
        self.activations += 1;
    }

    /// The flow was chosen: virtual time follows the tag that won.
    pub(crate) fn choose(&mut self, share: &Share) {
        self.virtual_time = self.virtual_time.max(share.tag());
    }

    pub(crate) fn charge(&mut self, share: &mut Share, used: Span) {
        share.start += normalise(used, share.weight);
        self.start_max = self.start_max.max(share.start);
    }

    pub(crate) fn refund(share: &mut Share, unused: Span) {
        share.start = share.start.saturating_sub(normalise(unused, share.weight));
    }

    /// Slot time that the flow has had ahead of the others.
    pub(crate) fn debt(&self, share: &Share) -> u128 {
        slot_time(share.start.saturating_sub(self.virtual_time), share.weight)
    }

    /// A new weight keeps what the flow owes in slot time, and so changes what it owes in tags.
    pub(crate) fn reweigh(&self, share: &mut Share, weight: u32) {
        let ahead = share.start.saturating_sub(self.virtual_time);
        if ahead > 0 {
            share.start = self.virtual_time + ahead * u128::from(share.weight) / u128::from(weight);
        }
        share.weight = weight;
    }
}
