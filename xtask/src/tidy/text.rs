//! Any text file: no leftovers, no stray whitespace, no hosts, and no history where a reader wants the present.

use crate::finding::Finding;
use crate::tree::File;
use crate::words::has_word;

use super::place;

/// Marks of unfinished work. In two parts, so that this file does not carry them.
const LEFTOVERS: &[&str] =
    &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("X", "XX"), concat!("dbg", "!(")];

/// Hosts of package registries: a build goes where the machine's own settings say.
const HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("pypi", ".org"),
    concat!("proxy.", "golang.org"),
];

/// What tells how the text came to be. That is the commit's work.
const HISTORY: &[&str] = &[
    concat!("issue", " #"),
    concat!("this", " session"),
    concat!("last", " session"),
    concat!("previous", " session"),
    concat!("earlier", " session"),
];

pub(super) fn check(file: &File) -> Vec<Finding> {
    if is_generated(file) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(file.text.split('\n')) {
        let found = mistakes(text);
        findings.extend(
            found.into_iter().map(|(wrong, right)| Finding::new(place(file, line), wrong, right)),
        );
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(
            &file.path,
            "the last line has no end",
            "end it with a newline",
        ));
    }
    if file.text.ends_with("\n\n") {
        findings.push(Finding::new(&file.path, "empty lines at the end", "remove them"));
    }
    findings
}

/// Written by a program and compared with its output by a test.
fn is_generated(file: &File) -> bool {
    file.path == "Cargo.lock" || file.has_extension("snap")
}

fn mistakes(line: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if line.ends_with([' ', '\t', '\r']) {
        found.push(("whitespace at the end of the line".to_owned(), "remove it"));
    }
    for mark in LEFTOVERS.iter().filter(|mark| has_word(line, mark)) {
        found.push((format!("{mark} is left over"), "do it, or write down what is so and why"));
    }
    for host in HOSTS.iter().filter(|host| line.contains(*host)) {
        found.push((format!("names the host {host}"), "leave hosts to the machine's settings"));
    }
    let lower = line.to_lowercase();
    for words in HISTORY.iter().filter(|words| lower.contains(*words)) {
        found.push((format!("says \"{words}\""), "say what is so; history is in the commits"));
    }
    found
}
