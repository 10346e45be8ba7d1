//! What goes wrong in one simulation, drawn from its seed. Each kind of fault is absent in about half of the seeds, so
//! that a failure also says which kinds it does not need.

use fairlane_core::time::Span;

use crate::prng::Prng;

/// A submission or a retry may reach a cell that was loaded again after its look-ups were made. Off, as a host that turns
/// such requests away: the cell would take the idempotency key for a new one.
pub const LOOK_UPS_OUTLIVE_A_RELOAD: bool = false;

/// Chances in thousandths, and gaps between events.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A message is lost on its way, in either direction.
    pub lost: u32,
    /// The host sees that a worker has gone and that its grants were not delivered.
    pub undelivered: u32,
    /// Mean gap between crashes of the host; `None`: it never crashes.
    pub crash_gap: Option<Span>,
    /// The store refuses a commit: nothing of it is durable.
    pub commit_fails: u32,
    /// The commit is durable, but the owner does not learn of it.
    pub commit_answer_lost: u32,
    /// The commit takes seconds, so that inputs pile up behind it.
    pub commit_slow: u32,
    /// The host dies between two effects of one turn.
    pub dies_releasing: u32,
    /// Mean gap between jumps of the clock.
    pub clock_gap: Option<Span>,
    /// Of these jumps, those to a later time.
    pub clock_leaps: u32,
    /// The cell is lost and loaded again, but the process around it lives.
    pub reloads: u32,
    /// What is looked up for a request takes so long that the cell may be loaded again meanwhile.
    pub looks_up_long: u32,
    pub worker: WorkerFaults,
}

/// What workers do wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerFaults {
    /// Falls silent for ever at a wake-up, or comes back with an empty memory.
    pub dies: u32,
    /// An attempt never ends.
    pub hangs: u32,
    /// Adds a report that is none of its business: another's lease, an old one, an invented one.
    pub forges: u32,
    /// Reports an outcome again after its receipt.
    pub repeats: u32,
    /// Works on after it was told to stop.
    pub ignores_stop: u32,
}

impl Faults {
    pub fn draw(seed: u64) -> Self {
        let prng = &mut Prng::split(seed, "faults", 0);
        let mut some = |low, high| if prng.chance(500) { prng.small(low, high) } else { 0 };
        let mut faults = Self {
            lost: some(5, 100),
            undelivered: some(100, 1_000),
            commit_fails: some(2, 30),
            commit_answer_lost: some(2, 30),
            commit_slow: some(2, 50),
            dies_releasing: some(2, 30),
            clock_leaps: some(100, 500),
            reloads: some(200, 1_000),
            looks_up_long: some(20, 200),
            worker: WorkerFaults {
                dies: some(2, 20),
                hangs: some(10, 100),
                forges: some(10, 200),
                repeats: some(10, 200),
                ignores_stop: some(100, 1_000),
            },
            ..Self::default()
        };
        faults.crash_gap = prng.chance(500).then(|| Span::from_millis(prng.between(1_000, 15_000)));
        faults.clock_gap = prng.chance(500).then(|| Span::from_millis(prng.between(2_000, 15_000)));
        faults
    }
}
