//! Seeded simulator: the real cell and driver in virtual time, with faults and checkers.
