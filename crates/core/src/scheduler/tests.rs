//! What the queue promises, tried in virtual time against an independent reference.

mod bounds;
mod burst;
mod changes;
mod classes;
mod cost;
mod credit;
mod early;
mod invariants;
mod lanes;
mod phases;
mod policies;
mod pool;
mod random;
mod reference;
mod shares;
