//! Fairlane, the control plane for platforms that serve many organisations: one binary.
fn main() {}
