//! Checks and generation that CI and people run.
fn main() {}
