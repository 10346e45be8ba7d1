//! Checks that CI and people run: `cargo xtask ci` is all of them, `cargo xtask CHECK` is one.
//!
//! Each check is a module with a function that takes nothing and either passes or says, for every mistake, where
//! it is, what is wrong and what would be right. The rules themselves are pure functions on text or on a graph,
//! tested beside them; what reads files and starts programs stands around them.

mod bans;
mod cargo;
mod check;
mod console;
mod dashboard;
mod deps;
mod finding;
mod licences;
mod spdx;
mod tidy;
mod tree;
mod words;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci"] => check::run_all(),
        ["help" | "--help" | "-h"] => {
            console::say(&check::usage());
            ExitCode::SUCCESS
        }
        [name] => check::run_one(name),
        _ => {
            console::complain(&check::usage());
            ExitCode::from(2)
        }
    }
}
