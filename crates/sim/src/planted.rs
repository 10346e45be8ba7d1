//! Bugs that the surroundings of the cell can be given, to see that the checkers notice them. A checker that cannot fail
//! checks nothing.

/// One bug, in the host or in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The host releases the effects of a turn when it hands the turn to the store.
    ReleasesBeforeCommit,
    /// The store acknowledges a commit, and has lost it after the next restart.
    LosesTail,
    /// The store takes commits of an owner that is one no more.
    IgnoresEpoch,
    /// The host puts the current fence and holder into every report.
    TrustsReports,
    /// The store leaves leases out of what a new owner reads.
    ForgetsLeases,
    /// The store leaves the newest live run out of what a new owner reads.
    ForgetsRuns,
    /// The host keeps a worker's question to itself.
    SwallowsAsks,
    /// The store writes caps that are lower than those that the cell keeps to.
    WritesLowerCaps,
    /// The store writes tenants as suspended that the cell thinks are not.
    WritesSuspended,
    /// The store writes a valve that is tighter than the one the cell keeps to.
    WritesTighterValve,
}
