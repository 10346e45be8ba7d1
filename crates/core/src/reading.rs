//! What people look at: how long tenants wait, for what, and whether the shares were fair.
//!
//! Values and rules only; the cell says what happened and when. No decision reads any of it. Counts are integers and
//! merge, so that what was seen in a minute is part of what was seen in the hour. A [`Windows`] takes constant memory
//! however much it is told.

mod cause;
pub mod diagnosis;
mod interference;
mod share;
mod sketch;
mod windows;

pub use cause::{Cause, Held, WorkAt};
pub use interference::{Interference, Neighbours, Place};
pub use share::{Claim, Member, Served, jain_permille, max_min, max_min_tree};
pub use sketch::{Percentiles, Sketch};
pub use windows::{Merge, Window, Windows};
