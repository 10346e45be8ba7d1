//! What the queue promises, tried in virtual time against an independent reference.

mod credit;
mod lanes;
mod pool;
mod reference;
mod shares;
