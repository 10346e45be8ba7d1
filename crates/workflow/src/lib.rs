//! The workflow file format: parsing with all mistakes at once, expressions, schedules.
