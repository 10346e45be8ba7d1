//! The cell: the tenants of one region, with their scheduler, as one value.

pub mod change;
pub mod effect;
pub mod input;
