//! What kind of load a seed plays. Most mix everything; every sixteenth crowds one pool and leaves the rest away, and
//! another sixteenth mixes everything where calls are limited and money is short.

use fairlane_core::time::Span;

use crate::prng::Prng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Workflows, clients and operators of all kinds, each seed with a little of everything.
    Mixed,
    /// Many short steps that are alike wait for few slots, so that who gets how much can be judged. Clients submit and do
    /// nothing else, and runs of a tenant differ by nothing but their lanes.
    Crowded,
    /// Mixed, with limits on tools, budgets that do not suffice, and models that the server calls.
    Paid,
}

impl Workload {
    pub const fn of(seed: u64) -> Self {
        match seed % 16 {
            5 => Self::Crowded,
            9 => Self::Paid,
            _ => Self::Mixed,
        }
    }

    /// How long an attempt takes.
    pub(crate) fn service(self, prng: &mut Prng) -> Span {
        let millis = match (self, prng.below(10)) {
            (Self::Crowded, _) => prng.between(5, 60),
            (Self::Mixed | Self::Paid, 0) => prng.between(1_000, 6_000),
            (Self::Mixed | Self::Paid, 1..4) => prng.between(200, 1_500),
            (Self::Mixed | Self::Paid, _) => prng.between(1, 300),
        };
        Span::from_millis(millis)
    }
}
