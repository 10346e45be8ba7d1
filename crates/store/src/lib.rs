//! Durable rows of a cell: the Store trait, its conformance suite, and SQLite behind it.
