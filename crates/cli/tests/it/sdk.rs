//! The worker SDK against a real server: calls, tasks, trouble.

mod calls;
mod tasks;
mod trouble;
mod wire;
